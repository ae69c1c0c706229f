"""Removes pairs of Reshape that undo each other, also around an activation, so that a Gemm meets its activation and the next Gemm."""

import onnx_ir as ir

from bridge.graph import provenance
from bridge.graph.identities import remove_copy, stand_for
from bridge.graph.values import new_reshape, only_user, static_shape

# Operators of one tensor that treat every element alike; Clip has its limits as scalars.
_ELEMENTWISE = frozenset(
    {
        "Abs", "Celu", "Clip", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Log", "Mish", "Neg", "Relu", "Selu", "Sigmoid",
        "Softplus", "Softsign", "Sqrt", "Swish", "Tanh",
    }
)  # fmt: skip


def cancel_reshapes(model: ir.Model) -> None:
    """1. Reshape, activation, Reshape -> activation, Reshape, where nothing else reads the values in between.

    2. Reshape of a Reshape -> one Reshape of the first one's input.
    3. Reshape to the shape that its input has -> nothing.
    """
    graph = model.graph
    for node in list(graph):
        if node.op_type in _ELEMENTWISE and node.domain == "":
            _move_up(graph, node)
    for node in list(graph):
        if _is_reshape(node):
            _shorten(graph, node)


def _is_reshape(node: ir.Node | None) -> bool:
    """Whether the node only gives a tensor another static shape."""
    return node is not None and node.op_type == "Reshape" and node.domain == "" and static_shape(node.outputs[0]) is not None


def _move_up(graph: ir.Graph, node: ir.Node) -> None:
    value = node.inputs[0]
    before = None if value is None else value.producer()
    if before is None or value is None or not _is_reshape(before) or only_user(value) is not node or not _is_reshape(only_user(node.outputs[0])):
        return
    source = before.inputs[0]
    if source is None or source.shape is None or source.producer() is None:
        return
    node.replace_input_with(0, source)
    node.outputs[0].shape = source.shape.copy()
    _drop(graph, before, source, node)


def _shorten(graph: ir.Graph, node: ir.Node) -> None:
    value = node.inputs[0]
    before = None if value is None else value.producer()
    if before is not None and _is_reshape(before):
        source = before.inputs[0]
        target = static_shape(node.outputs[0])
        assert target is not None  # the caller looked
        # A fresh constant: 0 and -1 in the old one speak of the old input.
        fresh = new_reshape(graph, source, target).inputs[1] if source is not None else None
        node.replace_input_with(0, source)
        node.replace_input_with(1, fresh)
        if source is not None and not before.outputs[0].uses() and not before.outputs[0].is_graph_output():
            _drop(graph, before, source, node)
    if static_shape(node.inputs[0]) == static_shape(node.outputs[0]):
        _release(node)
        remove_copy(graph, node)


def _release(reshape: ir.Node) -> None:
    """A Reshape that only helps the node behind it stands for nothing once it goes: what it stood for stays there, and not with its source."""
    name = provenance.name(reshape)
    if any(provenance.name(user) == name for user in reshape.outputs[0].consumers()):
        reshape.metadata_props.pop(provenance.ORIGINS, None)


def _drop(graph: ir.Graph, reshape: ir.Node, source: ir.Value, successor: ir.Node) -> None:
    """Removes a Reshape that nothing reads any more.

    One that stands for the same node of the user's file as its source only brought that node's result into the user's shape: the result keeps the
    user's name.
    """
    producer = source.producer()
    if producer is not None and provenance.name(producer) == provenance.name(reshape) and not source.is_graph_output():
        name, reshape.outputs[0].name = reshape.outputs[0].name, None
        source.name = name
    else:
        stand_for(successor, reshape)
    graph.remove(reshape, safe=True)
