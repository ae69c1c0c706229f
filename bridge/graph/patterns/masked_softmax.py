"""Attention scores that get a mask before their softmax: everything that holds the mask's large values.

An additive mask of -10000 in one tensor with scores of +-10 leaves the scores 0.1 % of the int8 range.
"""

from collections.abc import Iterator

import onnx_ir as ir

from bridge.graph.patterns import matching
from bridge.graph.patterns.matching import Array, constant, is_constant, is_float, is_op

NAME = "masked_softmax"
LARGE = 50.0  # scores stay within some tens; a mask clipped to -50 still gives exp(-50) = 2e-22

# what may stand between the product and its softmax
BETWEEN = frozenset({*matching.VIEWS, "Transpose", "Add", "Sub", "Mul", "Div", "Where", "Clip", "Max", "Min", "Cast"})
# a mask is made by comparing, moving and scaling; a bias that a layer computes (MatMul, Gather of a table) is no mask
MASK_MAKERS = frozenset(
    {
        *matching.VIEWS,
        *("Add", "Sub", "Mul", "Div", "Neg", "Cast", "Not", "And", "Or", "Xor", "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Where"),
        *("Transpose", "Expand", "Concat", "Slice", "Tile", "Trilu", "Range", "Min", "Max", "Clip", "Split", "CastLike", "ConstantOfShape", "Shape"),
    }
)


def recognise(model: ir.Model) -> None:
    """Marks softmaxes of masked scores, the nodes that apply the mask, and those that make it."""
    for node in model.graph:
        if is_op(node, "Softmax", "LogSoftmax"):
            marked = list(_masking(node))
            if marked:
                matching.mark_all([node, *marked, *_nan_guard(node)], NAME)


def _masking(softmax: ir.Node) -> Iterator[ir.Node]:
    """The nodes from the mask to the softmax, none if there is no mask."""
    passed: list[ir.Node] = []
    value = softmax.inputs[0]
    while value is not None and (node := value.producer()) is not None and is_op(node, *BETWEEN):
        passed.append(node)
        scores = next((read for read in node.inputs if _is_computed(read)), None)
        mask = _mask_of(node) if scores is not None else None
        if mask is not None:
            yield from (*passed, *mask)
            passed = []
        value = scores


def _is_computed(value: ir.Value | None) -> bool:
    """Whether a layer computes the value, other than a mask or a constant."""
    return value is not None and is_float(value) and not is_constant(value) and made_of(value) is None


def _mask_of(node: ir.Node) -> list[ir.Node] | None:
    """What makes the mask that `node` applies to scores, None if it applies none."""
    if is_op(node, "Where"):
        return [] if any(_is_very_negative(constant(value)) for value in node.inputs[1:]) else None
    if not is_op(node, "Add", "Sub"):
        return None
    for value, sign in zip(node.inputs, (1.0, 1.0 if node.op_type == "Add" else -1.0), strict=True):
        if (added := constant(value)) is not None:
            if _is_very_negative(sign * added):
                return []
        elif value is not None and (made := made_of(value)) is not None:
            return [maker for maker in made if any(is_float(output) for output in maker.outputs)]
    return None


def made_of(value: ir.Value) -> list[ir.Node] | None:
    """The nodes that make `value` of model inputs and constants, None as soon as one of them is no mask maker."""
    nodes: dict[ir.Node, None] = {}
    stack = [value]
    while stack:
        producer = stack.pop().producer()
        if producer is None or producer in nodes or is_op(producer, "Constant"):
            continue
        if not is_op(producer, *MASK_MAKERS):
            return None
        nodes[producer] = None
        stack.extend(read for read in producer.inputs if read is not None)
    return list(nodes)


def _is_very_negative(array: Array | None) -> bool:
    return array is not None and array.size > 0 and bool(array.min() < -LARGE)


def _nan_guard(softmax: ir.Node) -> Iterator[ir.Node]:
    """`where(isnan(p), 0, p)`, which exporters put behind the softmax for rows that are masked as a whole."""
    for user in softmax.outputs[0].consumers():
        if is_op(user, "IsNaN", "Where"):
            yield user
