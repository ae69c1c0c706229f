"""Conditions and version rules of single operators that the op table refers to."""

from collections.abc import Callable

from bridge.quantize.float_graph import FloatGraph, Op

type Condition = Callable[[FloatGraph, Op], str]
type Version = Callable[[FloatGraph, Op], int]


def always(graph: FloatGraph, op: Op) -> str:
    """No condition."""
    return ""


def broadcast_up_to(rank: int) -> Condition:
    """Operands of different shape only up to a rank: beyond it the kernel ends the process (docs/kernels.md)."""

    def check(graph: FloatGraph, op: Op) -> str:
        shapes = [graph.tensors[tensor].shape for tensor in op.inputs]
        widest = max(len(shape) for shape in shapes)
        return f"its int8 kernel does not broadcast {widest} dimensions" if widest > rank and len(set(shapes)) > 1 else ""

    return check


def constant_weight(graph: FloatGraph, op: Op) -> str:
    """Per-channel scales and a bias in their scale need a weight that is known now; the bias as well."""
    weight = graph.tensors[op.inputs[1]]
    if not weight.constant:
        return f"its weight {weight.name!r} is computed at run time"
    position = 3 if op.name == "TRANSPOSE_CONV" else 2
    if len(op.inputs) > position and op.inputs[position] >= 0 and not graph.tensors[op.inputs[position]].constant:
        return f"its bias {graph.tensors[op.inputs[position]].name!r} is computed at run time"
    return ""


def constant_weight_and_bias(graph: FloatGraph, op: Op) -> str:
    """Without a bias the int8 kernel does not load, or ends the process (docs/kernels.md)."""
    if len(op.inputs) < 3 or op.inputs[2] < 0:
        return "it has no bias, and its int8 kernel needs one"
    return constant_weight(graph, op)


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
