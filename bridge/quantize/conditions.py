"""Conditions and version rules of single operators that the op table refers to."""

from collections.abc import Callable, Mapping

from bridge.quantize.float_graph import FloatGraph, Op
from bridge.types import TensorRange

type Spans = Mapping[str, TensorRange]
type Condition = Callable[[FloatGraph, Op, Spans], str]
type Version = Callable[[FloatGraph, Op], int]


def always(graph: FloatGraph, op: Op, spans: Spans) -> str:
    """No condition."""
    return ""


def broadcast_up_to(rank: int) -> Condition:
    """Operands of different shape only up to a rank: beyond it the kernel ends the process (docs/kernels.md)."""

    def check(graph: FloatGraph, op: Op, spans: Spans) -> str:
        shapes = [graph.tensors[tensor].shape for tensor in op.inputs]
        widest = max(len(shape) for shape in shapes)
        return f"its int8 kernel does not broadcast {widest} dimensions" if widest > rank and len(set(shapes)) > 1 else ""

    return check


def constant_weight(graph: FloatGraph, op: Op, spans: Spans) -> str:
    """Per-channel scales and a bias in their scale need a weight that is known now; the bias as well."""
    weight = graph.tensors[op.inputs[1]]
    if not weight.constant:
        return f"its weight {weight.name!r} is computed at run time"
    position = 3 if op.name == "TRANSPOSE_CONV" else 2
    if len(op.inputs) > position and op.inputs[position] >= 0 and not graph.tensors[op.inputs[position]].constant:
        return f"its bias {graph.tensors[op.inputs[position]].name!r} is computed at run time"
    return ""


def constant_weight_and_bias(graph: FloatGraph, op: Op, spans: Spans) -> str:
    """Without a bias the int8 kernel does not load, or ends the process (docs/kernels.md)."""
    if len(op.inputs) < 3 or op.inputs[2] < 0:
        return "it has no bias, and its int8 kernel needs one"
    return constant_weight(graph, op, spans)


def within(limit: float) -> Condition:
    """An input range that a kernel's fixed-point input does not hold (docs/kernels.md)."""

    def check(graph: FloatGraph, op: Op, spans: Spans) -> str:
        name = graph.tensors[op.inputs[0]].name
        span = spans[name]
        largest = max(-span.minimum, span.maximum)
        return f"its kernel takes values up to {limit:.6g}, and {name!r} reaches {largest:.6g}" if largest > limit else ""

    return check


def exact_positions(tolerance: float) -> Condition:
    """Bilinear interpolation in steps of 1/1024 pixel, which add up from one end of an image to the other (docs/kernels.md).

    Args:
        tolerance: how far, in pixels of the input, the last position may be off.
    """

    def check(graph: FloatGraph, op: Op, spans: Spans) -> str:
        given, made = graph.tensors[op.inputs[0]].shape, graph.tensors[op.outputs[0]].shape
        corners = bool(op.options.alignCorners)
        off = [_position_error(source, target, corners) for source, target in zip(given[1:3], made[1:3], strict=True)]
        return f"its kernel is {max(off):.2g} pixels off at the end of {made[1]} x {made[2]}" if max(off) > tolerance else ""

    return check


def _position_error(source: int, target: int, corners: bool) -> float:
    if corners and target > 1:
        source, target = source - 1, target - 1
    if source == 1:
        return 0.0
    per_pixel = (1024 * source + target // 2) // target / 1024
    return abs(per_pixel - source / target) * target


def conv_version(graph: FloatGraph, op: Op) -> int:
    """Grouped convolution came with version 6."""
    channels = graph.tensors[op.inputs[0]].shape[-1]
    return 3 if graph.tensors[op.inputs[1]].shape[-1] == channels else 6


def conv_int16_version(graph: FloatGraph, op: Op) -> int:
    """Grouped convolution came with version 6."""
    return max(4, conv_version(graph, op))


def fully_connected_version(graph: FloatGraph, op: Op) -> int:
    """No bias since version 6, keep_num_dims since version 5."""
    if len(op.inputs) < 3 or op.inputs[2] < 0:
        return 6
    return 5 if op.options.keepNumDims else 4


def transpose_conv_version(graph: FloatGraph, op: Op) -> int:
    """Fused activation since version 4, bias since version 3."""
    if op.options.fusedActivationFunction:
        return 4
    return 3 if len(op.inputs) > 3 and op.inputs[3] >= 0 else 2


def resize_version(graph: FloatGraph, op: Op) -> int:
    """Half-pixel centres since version 3."""
    return 3 if op.options.halfPixelCenters or op.options.alignCorners else 2
