"""exp(x - max(x)) / sum(exp(x - max(x))) -> Softmax, and every Softmax under its name."""

from math import inf
from types import MappingProxyType

import onnx_ir as ir

from bridge.graph.patterns import matching
from bridge.graph.patterns.matching import given, is_op, scalar
from bridge.graph.patterns.moments import reduced_axes
from bridge.graph.patterns.norm_terms import Over
from bridge.graph.values import static_shape

NAME = "softmax"
_POOLS = MappingProxyType({"ReduceMax": ("GlobalMaxPool",)})  # what tf2onnx makes of a reduction over the last axis


def recognise(model: ir.Model) -> None:
    """Fuses spelled-out softmaxes over one axis and marks all others."""
    graph = model.graph
    for node in reversed(graph):
        if is_op(node, "Softmax", "LogSoftmax"):
            matching.mark_all([node], NAME)
        elif is_op(node, "Div", "Mul"):
            _recognise_quotient(graph, node)


def _recognise_quotient(graph: ir.Graph, node: ir.Node) -> None:
    exponential, total = _quotient(node)
    if exponential is None or total is None:
        return
    axis = one_axis(total, "ReduceSum", exponential)
    raised = exponential.producer()
    if axis is None or raised is None or not is_op(raised, "Exp") or raised.inputs[0] is None:
        return
    source = without_maximum(raised.inputs[0], axis)
    output = node.outputs[0]
    if static_shape(source) != static_shape(output):
        return
    nodes, feeds = matching.region(output, lambda value: value is source)
    if feeds != [source]:
        return
    if matching.is_closed(nodes, output):
        matching.fuse(graph, nodes, output, ir.node("Softmax", [source], {"axis": axis}), NAME)
    else:
        matching.mark_all(nodes, NAME)


def _quotient(node: ir.Node) -> tuple[ir.Value | None, ir.Value | None]:
    """Numerator and denominator of a division, or of a product with a reciprocal."""
    left, right = given(node, 0), given(node, 1)
    if node.op_type == "Div":
        return left, right
    for value, other in (left, right), (right, left):
        producer = None if other is None else other.producer()
        if producer is not None and is_op(producer, "Reciprocal"):
            return value, producer.inputs[0]
    return None, None


def one_axis(statistic: ir.Value, op_type: str, of: ir.Value) -> int | None:
    """The one axis along which `statistic` reduces `of` so that it broadcasts against it, None for anything else."""
    node = reduction(statistic)
    axes = reduced_axes(node) if node is not None and is_op(node, op_type, *_POOLS.get(op_type, ())) and node.inputs[0] is of else None
    if axes is None or len(axes) != 1 or not Over(of, axes).spans(statistic):
        return None
    return next(iter(axes))


def reduction(value: ir.Value) -> ir.Node | None:
    """The producer behind views, a maximum with -inf, and a guard of what is not finite."""
    node = value.producer()
    while node is not None:
        if is_op(node, *matching.VIEWS) and node.inputs[0] is not None:
            node = node.inputs[0].producer()
        elif is_op(node, "Where") and scalar(node.inputs[2]) == 0.0 and node.inputs[1] is not None:
            node = node.inputs[1].producer()  # a maximum that is not finite counts as 0
        elif is_op(node, "Add") and (chosen := _chosen(node)) is not None:
            node = chosen.producer()
        elif is_op(node, "Max") and len(node.inputs) == 2 and -inf in (scalar(node.inputs[0]), scalar(node.inputs[1])):
            other = node.inputs[1 if scalar(node.inputs[0]) == -inf else 0]
            node = None if other is None else other.producer()
        else:
            return node
    return None


def _chosen(total: ir.Node) -> ir.Value | None:
    """`x` of `x * cast(c) + 0 * cast(not c)`, as tf2onnx writes the same guard."""
    products = [None if value is None else value.producer() for value in total.inputs]
    if not all(is_op(product, "Mul") for product in products):
        return None
    factors = [value for product in products if product is not None for value in product.inputs if value is not None]
    casts = [value for value in factors if is_op(value.producer(), "Cast")]
    others = [value for value in factors if value not in casts]
    zeros = [value for value in others if scalar(value) == 0.0]
    return next((value for value in others if value not in zeros), None) if len(casts) == 2 and len(zeros) == 1 else None


def without_maximum(value: ir.Value, axis: int) -> ir.Value:
    """`x` for `x - max(x)`, which changes nothing but the range of the exponential."""
    node = value.producer()
    if node is None or not is_op(node, "Sub") or node.inputs[0] is None or node.inputs[1] is None:
        return value
    return node.inputs[0] if one_axis(node.inputs[1], "ReduceMax", node.inputs[0]) == axis else value
