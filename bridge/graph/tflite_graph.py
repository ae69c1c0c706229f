"""The operators of a float TFLite file as the nodes that rules and reports see."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import onnx_ir as ir

from bridge.tflite import model as tflite
from bridge.types import Graph, NodeFacts, SourceModel, SourceNode, TensorSpec

# Operators that are a function by themselves; what takes several operators (a LayerNorm, a SiLU) is not recognised in a TFLite file.
PATTERNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"GELU": ("gelu",), "HARD_SWISH": ("hard_swish",), "LOG_SOFTMAX": ("log_softmax",), "SOFTMAX": ("softmax",)}
)


def tflite_graph(source: SourceModel, model: tflite.ModelT) -> Graph:
    """One node per operator, named by the first tensor that it writes.

    `Graph.model` is empty: nothing is converted.

    Args:
        source: what the frontend read.
        model: the same file.
    """
    main = tflite.main_graph(model)
    inputs = {int(index): name for name, index in zip(tflite.named_inputs(model), main.inputs, strict=True)}
    specs = [
        TensorSpec(inputs.get(index, tflite.text(tensor.name)), tflite.shape(tensor), tflite.dtype(tensor).name)
        for index, tensor in enumerate(main.tensors)
    ]
    nodes = tuple(_facts(model, op, name, specs) for op, name in zip(main.operators, tflite.operator_names(model), strict=True))
    return Graph(
        model=ir.Model(ir.Graph([], [], nodes=[]), ir_version=10),
        nodes=nodes,
        source_nodes=tuple(
            SourceNode(node.name, node.op_type, node.domain, node.scope, tuple(spec.name for spec in node.outputs), "kept", node.name)
            for node in nodes
        ),
        inputs=tuple(specs[int(index)] for index in main.inputs),
        outputs=tuple(specs[int(index)] for index in main.outputs),
        tensor_names=MappingProxyType({}),
        node_names=MappingProxyType({}),
        diagnostics=(),
        digest=source.digest,
    )


def _facts(model: tflite.ModelT, op: tflite.OperatorT, name: str, specs: Sequence[TensorSpec]) -> NodeFacts:
    main = tflite.main_graph(model)
    read = [int(index) for index in op.inputs if index >= 0]
    kind = tflite.op_name(model, op)
    return NodeFacts(
        name=name,
        op_type=kind,
        domain="",
        patterns=PATTERNS.get(kind, ()),
        scope=name.partition(";")[0].rpartition("/")[0],  # the converter joins the names of what it fused
        origins=(name,),
        inputs=tuple(specs[index] for index in read),
        outputs=tuple(specs[int(index)] for index in op.outputs),
        constant_inputs=tuple(place for place, index in enumerate(read) if tflite.is_constant(model, main.tensors[index])),
    )
