"""Conditions of single operators that the op table refers to: what an operator must be for a kernel to be right."""

from collections.abc import Callable, Mapping

from msgspec import Struct

from bridge.quantize.float_graph import FloatGraph, Op
from bridge.types import TensorRange

type Spans = Mapping[str, TensorRange]  # calibrated ranges by tensor name


class Condition(Struct, frozen=True):
    """A condition that the operator table states.

    Attributes:
        words: for people; '' where there is no condition.
        refusal: says why an operator cannot have the kernel, '' if it can.
        rare: whether most operators do not meet it, so that a forecast had better count on float.
    """

    words: str
    refusal: Callable[[FloatGraph, Op, Spans], str]
    rare: bool = False

    def __call__(self, graph: FloatGraph, op: Op, spans: Spans) -> str:
        """Why the operator cannot have the kernel, '' if it can."""
        return self.refusal(graph, op, spans)


ALWAYS = Condition("", lambda graph, op, spans: "")


def broadcast_up_to(rank: int) -> Condition:
    """Operands of different shape only up to a rank: beyond it the kernel ends the process (docs/kernels.md)."""

    def refusal(graph: FloatGraph, op: Op, spans: Spans) -> str:
        shapes = [graph.tensors[tensor].shape for tensor in op.inputs]
        widest = max(len(shape) for shape in shapes)
        return f"its int8 kernel does not broadcast {widest} dimensions" if widest > rank and len(set(shapes)) > 1 else ""

    return Condition(f"operands of different shape have at most {rank} dimensions", refusal)


def _constant_weight(graph: FloatGraph, op: Op, spans: Spans) -> str:
    weight = graph.tensors[op.inputs[1]]
    if not weight.constant:
        return f"its weight {weight.name!r} is computed at run time"
    position = 3 if op.name == "TRANSPOSE_CONV" else 2
    if len(op.inputs) > position and op.inputs[position] >= 0 and not graph.tensors[op.inputs[position]].constant:
        return f"its bias {graph.tensors[op.inputs[position]].name!r} is computed at run time"
    return ""


def _constant_weight_and_bias(graph: FloatGraph, op: Op, spans: Spans) -> str:
    if len(op.inputs) < 3 or op.inputs[2] < 0:
        return "it has no bias, and its int8 kernel needs one"
    return _constant_weight(graph, op, spans)


# Per-channel scales and a bias in their scale need a weight that is known now; the bias as well.
CONSTANT_WEIGHT = Condition("weight and bias are constants", _constant_weight)

# Without a bias the int8 kernel does not load, or ends the process (docs/kernels.md).
CONSTANT_WEIGHT_AND_BIAS = Condition("weight and bias are constants, and it has a bias", _constant_weight_and_bias)


def _one_divisor(graph: FloatGraph, op: Op, spans: Spans) -> str:
    name = graph.tensors[op.inputs[1]].name
    if not graph.tensors[op.inputs[1]].constant:
        return f"its divisor {name!r} is computed at run time, and its kernel ends the run where a divisor rounds to zero"
    values = graph.value(op.inputs[1])
    low, high = float(values.min(initial=values.flat[0])), float(values.max(initial=values.flat[0]))
    return "" if low == high != 0.0 else f"its divisor {name!r} holds values from {low:.6g} to {high:.6g}, and small ones overflow in its kernel"


# A divisor of one value fills its range; of several the smallest can round to zero or overflow (docs/kernels.md).
ONE_DIVISOR = Condition("the divisor is a constant of one value other than zero", _one_divisor, rare=True)


def _whole_lstm(graph: FloatGraph, op: Op, spans: Spans) -> str:
    weights = [graph.tensors[op.inputs[position]] for position in range(1, 9) if op.inputs[position] >= 0]
    if len(weights) < 8 or not all(weight.constant for weight in weights):
        return "its gates do not all have constant weights"
    others = [position for position in (9, 10, 11, 16, 17, 20, 21, 22, 23) if position < len(op.inputs) and op.inputs[position] >= 0]
    return "it has peepholes, a projection or normalised gates" if others else ""


PLAIN_LSTM = Condition("all gates have constant weights; no peepholes, projection or normalised gates", _whole_lstm)


def _input(graph: FloatGraph, op: Op, spans: Spans) -> tuple[str, TensorRange]:
    """Name and range of the first input."""
    tensor = graph.tensors[op.inputs[0]]
    if not tensor.constant:
        return tensor.name, spans[tensor.name]
    values = graph.value(tensor.index)
    return tensor.name, TensorRange(float(values.min(initial=0.0)), float(values.max(initial=0.0)))


# The scales of its channels lie along the last axis of the second operand.
SECOND_AS_IT_IS = Condition(
    "the second operand is not transposed", lambda graph, op, spans: "its second operand is transposed" if op.options.adjY else ""
)


def within(limit: float) -> Condition:
    """An input range that a kernel's fixed-point input holds (docs/kernels.md)."""

    def refusal(graph: FloatGraph, op: Op, spans: Spans) -> str:
        name, span = _input(graph, op, spans)
        largest = max(-span.minimum, span.maximum)
        return f"its kernel takes values up to {limit:.6g}, and {name!r} reaches {largest:.6g}" if largest > limit else ""

    return Condition(f"the input stays within {limit:.6g}", refusal)


def softmax_spans(limit: float) -> Condition:
    """An input range, times the factor `beta`, that a kernel's multiplier does not round to zero (docs/kernels.md)."""

    def refusal(graph: FloatGraph, op: Op, spans: Spans) -> str:
        name, span = _input(graph, op, spans)
        width = max(span.maximum, 0.0) - min(span.minimum, 0.0)
        return f"its kernel takes inputs that span at least {limit:.2g}, and {name!r} spans {width:.2g}" if 0.0 < width * _beta(op) < limit else ""

    return Condition(f"the input spans at least {limit:.2g}", refusal)


def _beta(op: Op) -> float:
    return float(getattr(op.options, "beta", 1.0))


def clear_of_zero(ratio: float) -> Condition:
    """A function that is steep near zero takes inputs that never come near: rounding them would cost many steps of the output."""

    def refusal(graph: FloatGraph, op: Op, spans: Spans) -> str:
        name, span = _input(graph, op, spans)
        clear = span.minimum > 0 and span.minimum * ratio >= span.maximum
        return "" if clear else f"it is too steep near zero for the input {name!r} from {span.minimum:.6g} to {span.maximum:.6g}"

    return Condition(f"the smallest input is at least 1/{ratio:g} of the largest", refusal, rare=True)


def entries_up_to(count: int, limit: float) -> Condition:
    """SOFTMAX of int16 adds up what it has rounded to 16 bits: about two steps of error per entry (docs/kernels.md)."""
    inside = within(limit)

    def refusal(graph: FloatGraph, op: Op, spans: Spans) -> str:
        entries = graph.tensors[op.inputs[0]].shape[-1]
        return f"its kernel is about {2 * entries} steps off over {entries} entries" if entries > count else inside(graph, op, spans)

    return Condition(f"at most {count} entries; {inside.words}", refusal)


def exact_positions(tolerance: float) -> Condition:
    """Bilinear interpolation in steps of 1/1024 pixel, which add up from one end of an image to the other (docs/kernels.md).

    Args:
        tolerance: how far, in pixels of the input, the last position may be off.
    """

    def refusal(graph: FloatGraph, op: Op, spans: Spans) -> str:
        given, made = graph.tensors[op.inputs[0]].shape, graph.tensors[op.outputs[0]].shape
        corners = bool(op.options.alignCorners)
        off = [_position_error(source, target, corners) for source, target in zip(given[1:3], made[1:3], strict=True)]
        return f"its kernel is {max(off):.2g} pixels off at the end of {made[1]} x {made[2]}" if max(off) > tolerance else ""

    words = (
        f"positions in steps of 1/1024 pixel are off by at most {tolerance:.2g} pixels" if tolerance else "positions are multiples of 1/1024 pixel"
    )
    return Condition(words, refusal)


def _position_error(source: int, target: int, corners: bool) -> float:
    if source == 1:
        return 0.0
    if corners and target > 1:
        source, target = source - 1, target - 1
    per_pixel = (1024 * source + target // 2) // target / 1024
    return abs(per_pixel - source / target) * target
