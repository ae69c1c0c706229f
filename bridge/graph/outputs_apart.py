"""Gives model outputs that onnx2tf would lose an operator of their own: `+ 0`.

onnx2tf 2.6.9 fuses an activation into the operator before it, removes a Transpose around it, and takes Identity for another name of its input,
also where the value in between is a model output. The file then declares an output that nothing writes ("Tensor data is null"). Identity and
Reshape in between do not help, it removes them; Add it keeps.
"""

import numpy as np
import onnx_ir as ir

from bridge.graph import provenance
from bridge.graph.values import new_constant

# LiteRT 2.3 aborts the process at an ADD of plain int8 or uint8 tensors.
_ADDABLE = frozenset({ir.DataType.FLOAT, ir.DataType.INT32, ir.DataType.INT64})


def separate_outputs(model: ir.Model) -> None:
    """Conv -> y (output), Relu(y) becomes Conv -> t, Add(t, 0) -> y, Relu(t); an Identity that writes an output becomes Add too."""
    graph = model.graph
    for index, output in enumerate(graph.outputs):
        producer = output.producer()
        if producer is None or output.dtype not in _ADDABLE:
            continue
        if producer.op_type == "Identity" and producer.domain == "":
            copy = _plus_zero(graph, producer.inputs[0], output)
            provenance.inherit([copy], [producer], main=producer)
            ir.convenience.replace_nodes_and_values(graph, producer, [producer], [copy], [output], copy.outputs)
        elif output.consumers():
            copy = _plus_zero(graph, output, output)
            provenance.inherit([copy], [producer], main=producer)
            name, output.name = output.name, f"{output.name}.inner"
            graph.insert_after(producer, copy)
            copy.outputs[0].name = name
            graph.outputs[index] = copy.outputs[0]


def _plus_zero(graph: ir.Graph, value: ir.Value | None, like: ir.Value) -> ir.Node:
    assert like.dtype is not None  # the caller looked
    node = ir.node("Add", [value, new_constant(graph, f"{like.name}.zero", np.zeros((), like.dtype.numpy()))])
    node.outputs[0].type, node.outputs[0].shape = like.type, like.shape
    return node
