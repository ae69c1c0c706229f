"""x * gate(mean of x over the picture): every node from the mean to the product lies in `squeeze_excite`."""

import onnx_ir as ir

from bridge.graph import provenance
from bridge.graph.patterns import matching
from bridge.graph.patterns.matching import is_constant, is_op
from bridge.graph.patterns.moments import reduced_axes
from bridge.graph.values import static_shape

NAME = "squeeze_excite"
LARGEST = 40  # nodes; two layers with spelled-out activations take less than half of it
WEIGHTED = ("Conv", "Gemm", "MatMul")
GATES = ("Sigmoid", "HardSigmoid", "Clip", "Tanh", "Softmax")
POOLS = ("GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "ReduceMax", "AveragePool")


def recognise(model: ir.Model) -> None:
    """Marks every product of a picture and a gate that is computed from its own mean."""
    for node in model.graph:
        if is_op(node, "Mul") and not any(is_constant(value) for value in node.inputs):
            left, right = node.inputs
            for picture, gate in ((left, right), (right, left)):
                inner = [] if picture is None or gate is None else _inner(picture, gate)
                for member in [*inner, node] if inner else []:
                    provenance.place(member, NAME)


def _inner(picture: ir.Value, gate: ir.Value) -> list[ir.Node]:
    """The nodes between `picture` and `gate`, none if that is no gate per channel."""
    whole, narrow = static_shape(picture), static_shape(gate)
    if whole is None or narrow is None or len(whole) != len(narrow) or len(whole) < 3:
        return []
    wide = [axis for axis, size in enumerate(whole) if axis > 0 and size > 1 and narrow[axis] == 1]
    kept = [axis for axis, size in enumerate(whole) if axis > 0 and size > 1 and narrow[axis] == size]
    if not wide or len(kept) != 1 or gate.producer() is None:
        return []
    stops = {picture, *_moved(picture)}
    nodes, feeds = matching.region(gate, lambda value: value in stops)
    if len(nodes) > LARGEST or not feeds or not set(feeds) <= stops:
        return []
    has_weights = any(is_op(node, *WEIGHTED) for node in nodes)
    has_gate = any(is_op(node, *GATES) for node in nodes)
    return nodes if has_weights and has_gate and any(_pools_all(node) for node in nodes) else []


def _moved(value: ir.Value) -> list[ir.Value]:
    """Rearrangements of the picture that a mean may be taken of."""
    users = [user for user in value.consumers() if is_op(user, "Transpose", *matching.VIEWS)]
    producer = value.producer()
    before = [producer.inputs[0]] if producer is not None and is_op(producer, "Transpose", *matching.VIEWS) else []
    return [*(user.outputs[0] for user in users), *(one for one in before if one is not None)]


def _pools_all(node: ir.Node) -> bool:
    """Whether the node makes one number of each channel."""
    if not is_op(node, *POOLS):
        return False
    source, result = static_shape(node.inputs[0]), static_shape(node.outputs[0])
    if is_op(node, "AveragePool"):
        return source is not None and result is not None and max(source[2:]) > 1 and set(result[2:]) == {1}
    axes = reduced_axes(node)
    return axes is not None and 0 not in axes and len(axes) >= 1
