"""Pad that repeats the tensor (mode wrap) -> Gather by constant indices.

onnx2tf 2.6.9 stops with "Pad mode is not supported in flatbuffer_direct".
"""

import numpy as np
import onnx_ir as ir

from bridge.graph.lowering.replacement import Builder, Replacement
from bridge.graph.values import constant_array, static_shape


def lower(graph: ir.Graph, node: ir.Node) -> Replacement | None:
    """Source: ONNX Pad-19."""
    shape, pads = static_shape(node.inputs[0]), constant_array(node.inputs[1])
    if node.attributes.get_string("mode", "constant") != "wrap" or shape is None or pads is None or pads.size != 2 * len(shape):
        return None
    build = Builder(graph, str(node.name))
    value = node.inputs[0]
    for axis, size in enumerate(shape):
        before, behind = int(pads[axis]), int(pads[len(shape) + axis])
        if before or behind:
            value = build.op("Gather", value, build.constant(np.arange(-before, size + behind) % size), attributes={"axis": axis})
    return build.done(value)
