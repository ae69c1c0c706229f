"""The logarithm of a softmax, in `log_softmax` beside `softmax`: the operator, Log behind a Softmax, and `x - log(sum(exp(x)))` in parts."""

import onnx_ir as ir

from bridge.graph import provenance
from bridge.graph.patterns import matching
from bridge.graph.patterns.matching import given, is_op
from bridge.graph.patterns.norm_terms import Over
from bridge.graph.patterns.softmax import NAME as SOFTMAX
from bridge.graph.patterns.softmax import one_axis, reduction, without_maximum

NAME = "log_softmax"


def recognise(model: ir.Model) -> None:
    """Marks them; needs softmaxes in parts fused before."""
    for node in model.graph:
        if is_op(node, "Sub"):
            _mark_difference(node)
        else:
            _mark_pair(node)


def _mark_pair(node: ir.Node) -> None:
    """`log(softmax(x))` and `exp(log_softmax(x))`, and the operator alone."""
    before = None if not node.inputs or node.inputs[0] is None else node.inputs[0].producer()
    if is_op(node, "LogSoftmax"):
        provenance.place(node, NAME)
    elif before is not None and is_op(node, "Log") and is_op(before, "Softmax"):
        provenance.place(before, NAME)
        provenance.place(node, NAME)
    elif is_op(node, "Exp") and is_op(before, "LogSoftmax"):
        matching.mark_all([node], SOFTMAX)


def _mark_difference(node: ir.Node) -> None:
    """`x - log(sum(exp(x)))`, with or without a maximum that is taken off and added again."""
    left, right = given(node, 0), given(node, 1)
    of = None if left is None or right is None else _of_log_sum(right)
    if left is None or of is None or of[0] is not left:
        return
    source = without_maximum(left, of[1])
    nodes, feeds = matching.region(node.outputs[0], lambda value: value is source)
    if feeds == [source]:
        matching.mark_all(nodes, SOFTMAX)
        for member in nodes:
            provenance.place(member, NAME)


def _of_log_sum(value: ir.Value) -> tuple[ir.Value, int] | None:
    """The tensor and the axis of `log(sum(exp(x)))` that broadcasts against `x`."""
    node = _behind_views(value)
    if node is None:
        return None
    if is_op(node, "ReduceLogSumExp") and node.inputs[0] is not None:
        axis = one_axis(value, "ReduceLogSumExp", node.inputs[0])
        return None if axis is None else (node.inputs[0], axis)
    if is_op(node, "Log") and node.inputs[0] is not None:
        total = reduction(node.inputs[0])
        raised = None if total is None or total.inputs[0] is None else total.inputs[0].producer()
        if total is None or raised is None or not is_op(raised, "Exp") or raised.inputs[0] is None:
            return None
        axis = one_axis(node.inputs[0], "ReduceSum", raised.outputs[0])
        return None if axis is None or not Over(raised.inputs[0], frozenset({axis})).spans(value) else (raised.inputs[0], axis)
    if is_op(node, "Add"):
        for logarithm, maximum in (tuple(node.inputs), tuple(reversed(node.inputs))):
            inner = None if logarithm is None else _of_log_sum(logarithm)
            shift = None if inner is None else inner[0].producer()
            if inner is None or shift is None or shift.inputs[0] is None or maximum is not shift.inputs[1]:
                continue
            if without_maximum(*inner) is shift.inputs[0] is not inner[0]:
                return shift.inputs[0], inner[1]
    return None


def _behind_views(value: ir.Value) -> ir.Node | None:
    node = value.producer()
    while node is not None and is_op(node, *matching.VIEWS) and node.inputs[0] is not None:
        node = node.inputs[0].producer()
    return node
