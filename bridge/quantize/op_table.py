"""The operators that can be quantized: one row each. A row exists only if the conformance suite passes for it.

Source: TFLite 8-bit quantization specification, https://ai.google.dev/edge/litert/models/quantization_spec, and docs/kernels.md for what
the kernels really do.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from types import MappingProxyType

from msgspec import Struct, field
from msgspec.structs import replace

from bridge.quantize import conditions, versions
from bridge.quantize.conditions import Condition
from bridge.quantize.forms import Form
from bridge.quantize.versions import Version


class Role(Enum):
    """What an operand is."""

    DATA = "data"  # an activation, or a constant that is quantized like one
    WEIGHT = "weight"  # constant, symmetric, per output channel
    BIAS = "bias"  # constant, scale = input x weight
    PLAIN = "plain"  # indices, shapes, axes, booleans: kept as it is


class Scales(Enum):
    """How the scales of an operator's data operands depend on each other."""

    OWN = "own"  # each operand has its own
    INHERIT = "inherit"  # outputs have the scale of the only data input
    JOIN = "join"  # all inputs have the scale of the output


type FinestStep = Callable[[Sequence[float]], float]


class Kernel(Struct, frozen=True):
    """The kernel of an operator in one precision.

    Attributes:
        version: operator version, or a function of the operator; the float operator's version stays if it is higher.
        fixed_output: the only form of the output that the kernel writes.
        symmetric: positions of inputs that need zero point 0; int16 inputs all have it.
        condition: says why an operator cannot have this kernel, '' if it can.
        weights: positions of the constant inputs that are stored in the precision's weight type; None: those of role WEIGHT.
        per_channel: whether weights have a scale per channel of the row's `weight_axis`, or one.
        bias: TFLite type of biases where the kernel wants another one than the precision says.
        options: fields of the operator's options to set, such as `asymmetricQuantizeInputs`.
        finest: in place of the row's, where this kernel is stricter.
    """

    version: int | Version
    fixed_output: Form | None = None
    symmetric: tuple[int, ...] = ()
    condition: Condition = conditions.ALWAYS
    weights: tuple[int, ...] | None = None
    per_channel: bool = True
    bias: str = ""
    options: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    finest: FinestStep | None = None


class OpRow(Struct, frozen=True):
    """One operator.

    Attributes:
        name: TFLite's.
        inputs: role per input; the last one stands for all further inputs.
        outputs: likewise.
        scales: how scales depend on each other.
        moves_data: outputs hold nothing but values of the inputs (and zeros), so the operator takes the type of what it carries.
        weight_axis: channel axis of the weights; negative counts from the last.
        finest: the smallest output scale that the kernel can rescale its sums to, from the scales of its data inputs and its weight; None
            where the output is copied or looked up.
        kernels: precision name -> kernel.
    """

    name: str
    kernels: Mapping[str, Kernel]
    inputs: tuple[Role, ...] = (Role.DATA,)
    outputs: tuple[Role, ...] = (Role.DATA,)
    scales: Scales = Scales.OWN
    moves_data: bool = False
    weight_axis: int = 0
    finest: FinestStep | None = None

    def input_role(self, position: int) -> Role:
        """Role of the input at a position."""
        return self.inputs[position] if position < len(self.inputs) else self.inputs[-1]

    def output_role(self, position: int) -> Role:
        """Role of the output at a position."""
        return self.outputs[position] if position < len(self.outputs) else self.outputs[-1]


# How many output steps one unit of a kernel's sum may be worth: XNNPACK refuses to load a convolution at 256, HARD_SWISH fails at 128, ADD ends
# the process at 2**19. So fine a step holds no information, the sum has none either.
STEPS_PER_UNIT = 64.0


def _twice_the_product(scales: Sequence[float]) -> float:
    """MUL without XNNPACK adds the zero point in int16: products up to 255 * 255 units may become 2**15 output steps at most."""
    return 2 * math.prod(scales)


def _product(scales: Sequence[float]) -> float:
    return math.prod(scales) / STEPS_PER_UNIT


def _2048_products(scales: Sequence[float]) -> float:
    """A sum of n products of int16 has 30 bits and those of n; the output is cut off only after it went through int32."""
    return 2048 * math.prod(scales)


def _largest(scales: Sequence[float]) -> float:
    return max(scales) / STEPS_PER_UNIT


def _largest_squared(scales: Sequence[float]) -> float:
    return max(scales) ** 2 / STEPS_PER_UNIT


def _first(scales: Sequence[float]) -> float:
    return scales[0] / STEPS_PER_UNIT


def _first_and_six(scales: Sequence[float]) -> float:
    """RELU6 holds its 6 in int32 steps of the output."""
    return max(scales[0] / STEPS_PER_UNIT, 6 / 2**30)


NO_OPTIONS: Mapping[str, object] = MappingProxyType({})
D, W, B, P = Role.DATA, Role.WEIGHT, Role.BIAS, Role.PLAIN


def _int8(
    version: int | Version,
    condition: Condition = conditions.ALWAYS,
    *,
    fixed: tuple[float, int] | None = None,
    symmetric: tuple[int, ...] = (),
) -> dict[str, Kernel]:
    output = None if fixed is None else Form("INT8", (fixed[0],), (fixed[1],))
    return {"static_wi8_ai8": Kernel(version, output, symmetric, condition)}


def _int16(
    version: int | Version,
    condition: Condition = conditions.ALWAYS,
    *,
    fixed: float | None = None,
    options: Mapping[str, object] = NO_OPTIONS,
    finest: FinestStep | None = None,
) -> dict[str, Kernel]:
    output = None if fixed is None else Form("INT16", (fixed,), (0,))
    return {"static_wi8_ai16": Kernel(version, output, condition=condition, options=options, finest=finest)}


def _dynamic(
    version: int | Version,
    *weights: int,
    condition: Condition = conditions.ALWAYS,
    per_channel: bool = True,
    options: Mapping[str, object] = NO_OPTIONS,
) -> dict[str, Kernel]:
    return {
        "dynamic_wi8_afp32": Kernel(version, condition=condition, weights=weights or None, per_channel=per_channel, options=options),
    }


def _stored(*weights: int) -> dict[str, Kernel]:
    """Weights in fewer bits and a DEQUANTIZE in front of the float kernel."""
    kernel = Kernel(1, weights=weights or None)
    return dict.fromkeys(("weight_only_wi8_afp32", "weight_only_wi4_afp32", "float16"), kernel)


def _moves(name: str, kernels: Mapping[str, Kernel], *inputs: Role) -> OpRow:
    return OpRow(name, kernels, inputs or (D, P), scales=Scales.INHERIT, moves_data=True)


def _everywhere(version: int) -> dict[str, Kernel]:
    return _int8(version) | _int16(version)


# ADD and SUB of int16 take any scales only if told not to expect powers of two.
ANY_SCALE = MappingProxyType({"potScaleInt16": False})

# Without it a kernel without XNNPACK rounds one-sided activations to half of the int8 values.
ASYMMETRIC = MappingProxyType({"asymmetricQuantizeInputs": True})

# LOGISTIC and TANH of int16 multiply by 3 * 4096 * scale, which overflows int32 from 2**16 on.
LARGEST_INT16_GATE = 2**16 / (3 * 4096) * 32767

# SOFTMAX of int8 multiplies differences by 2**26 * scale, and the reference kernel ends the process where that is not above 1; with a margin of 2.
LEAST_SOFTMAX = conditions.softmax_spans(255 * 2**-25)

# SOFTMAX of int16 multiplies differences by 6553.5 * scale.
LARGEST_INT16_SOFTMAX = 2**31 / 65535 / 6553.5 * 32767

ROWS = (
    OpRow(
        "CONV_2D",
        _int8(versions.CONV, conditions.CONSTANT_WEIGHT_AND_BIAS)
        | _int16(versions.CONV_INT16, conditions.CONSTANT_WEIGHT)
        | _dynamic(versions.CONV_HYBRID)
        | _stored(),
        (D, W, B),
        finest=_product,
    ),
    OpRow(
        "DEPTHWISE_CONV_2D",
        _int8(3, conditions.CONSTANT_WEIGHT_AND_BIAS) | _int16(5, conditions.CONSTANT_WEIGHT) | _dynamic(6) | _stored(),
        (D, W, B),
        weight_axis=3,
        finest=_product,
    ),
    OpRow(
        "FULLY_CONNECTED",
        _int8(versions.FULLY_CONNECTED, conditions.CONSTANT_WEIGHT)
        | _int16(7, conditions.CONSTANT_WEIGHT)
        | _dynamic(12, options=ASYMMETRIC)
        | _stored(),
        (D, W, B),
        finest=_product,
    ),
    OpRow(
        "TRANSPOSE_CONV",
        _int8(versions.TRANSPOSE_CONV, conditions.CONSTANT_WEIGHT)
        | _int16(versions.TRANSPOSE_CONV, conditions.CONSTANT_WEIGHT)
        | _dynamic(versions.TRANSPOSE_CONV)
        | _stored(),
        (P, W, D, B),
        finest=_product,
    ),
    OpRow("CONV_3D", _stored(), (D, W, B), weight_axis=-1),
    OpRow("CONV_3D_TRANSPOSE", _stored(), (P, W, D, B), weight_axis=-2),
    OpRow(
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        _dynamic(3, condition=conditions.PLAIN_LSTM, per_channel=False, options=ASYMMETRIC) | _stored(),
        (D, *[W] * 8, P),
    ),
    OpRow(
        "BATCH_MATMUL",
        _int8(2, symmetric=(1,))
        | _int16(3, finest=_2048_products)
        | _dynamic(4, 1, condition=conditions.SECOND_AS_IT_IS, options=ASYMMETRIC)
        | _stored(0, 1),
        (D, D),
        finest=_product,
        weight_axis=-1,
    ),
    OpRow("ADD", _int8(2) | _int16(3, options=ANY_SCALE), (D, D), finest=_largest),
    OpRow("SUB", _int8(2) | _int16(5, options=ANY_SCALE), (D, D), finest=_largest),
    OpRow("MUL", _int8(2) | _int16(4), (D, D), finest=_twice_the_product),
    OpRow("SQUARED_DIFFERENCE", _int8(2, conditions.broadcast_up_to(4)), (D, D), finest=_largest_squared),
    OpRow("DIV", _int8(1, conditions.ONE_DIVISOR) | _int16(1, conditions.ONE_DIVISOR), (D, D)),
    OpRow("LOG", _int8(2, conditions.clear_of_zero(16))),
    OpRow("RSQRT", _int8(2, conditions.clear_of_zero(16))),
    OpRow("ABS", _int8(2) | _int16(3), finest=_first),
    OpRow("EXP", _int8(2)),
    OpRow("RELU", _int8(2) | _int16(3), finest=_first),
    OpRow("RELU6", _int8(2) | _int16(3), finest=_first_and_six),
    OpRow("RELU_N1_TO_1", _int8(1), finest=_first),
    OpRow("RELU_0_TO_1", _int8(1), finest=_first),
    OpRow("LEAKY_RELU", _int8(1) | _int16(2), finest=_first),
    OpRow("PRELU", _int8(1), (D, D), finest=_first),
    OpRow("ELU", _int8(1)),
    OpRow("GELU", _int8(2) | _int16(2)),
    OpRow("HARD_SWISH", _int8(1), finest=_first),
    OpRow("LOGISTIC", _int8(2, fixed=(1 / 256, -128)) | _int16(3, conditions.within(LARGEST_INT16_GATE), fixed=1 / 32768)),
    OpRow("TANH", _int8(2, fixed=(1 / 128, 0)) | _int16(3, conditions.within(LARGEST_INT16_GATE), fixed=1 / 32768)),
    OpRow(
        "SOFTMAX", _int8(2, LEAST_SOFTMAX, fixed=(1 / 256, -128)) | _int16(3, conditions.entries_up_to(32, LARGEST_INT16_SOFTMAX), fixed=1 / 32768)
    ),
    OpRow("LOG_SOFTMAX", _int8(2, LEAST_SOFTMAX, fixed=(16 / 256, 127))),
    OpRow("L2_NORMALIZATION", _int8(2, fixed=(1 / 128, 0))),
    OpRow("MEAN", _int8(2) | _int16(3), (D, P), finest=_first),
    OpRow("REDUCE_MAX", _int8(2) | _int16(3), (D, P), scales=Scales.INHERIT),
    OpRow("REDUCE_MIN", _int8(2) | _int16(3), (D, P), scales=Scales.INHERIT),
    OpRow("AVERAGE_POOL_2D", _int8(2) | _int16(3), scales=Scales.INHERIT),
    OpRow("MAX_POOL_2D", _int8(2) | _int16(3), scales=Scales.INHERIT),
    OpRow(
        "RESIZE_BILINEAR",
        _int8(versions.RESIZE, conditions.exact_positions(1 / 255)) | _int16(4, conditions.exact_positions(0.0)),
        (D, P),
        scales=Scales.INHERIT,
    ),
    OpRow("TOPK_V2", _int8(2) | _int16(3), (D, P), (D, P), scales=Scales.INHERIT),
    OpRow("ARG_MAX", _int8(2), (D, P), (P,)),
    OpRow("ARG_MIN", _int8(2), (D, P), (P,)),
    OpRow("MAXIMUM", _int8(2, conditions.broadcast_up_to(5)) | _int16(4, conditions.broadcast_up_to(5)), (D, D), scales=Scales.JOIN),
    OpRow("MINIMUM", _int8(2, conditions.broadcast_up_to(5)) | _int16(4, conditions.broadcast_up_to(5)), (D, D), scales=Scales.JOIN),
    OpRow("SELECT", _everywhere(1), (P, D, D), scales=Scales.JOIN),
    OpRow("SELECT_V2", _everywhere(1), (P, D, D), scales=Scales.JOIN),
    OpRow("PADV2", _int8(2) | _int16(3), (D, P, D), scales=Scales.JOIN),
    OpRow("ONE_HOT", _int8(1), (P, P, D, D), scales=Scales.JOIN),
    OpRow("FILL", _everywhere(3), (P, D), scales=Scales.INHERIT),
    OpRow("DYNAMIC_UPDATE_SLICE", _everywhere(1), (D, D, P), scales=Scales.JOIN),
    OpRow("CONCATENATION", _int8(2) | _int16(3), scales=Scales.JOIN, moves_data=True),
    OpRow("PACK", _int8(2) | _int16(3), scales=Scales.JOIN, moves_data=True),
    _moves("RESIZE_NEAREST_NEIGHBOR", _int8(versions.RESIZE) | _int16(4)),
    _moves("RESHAPE", _everywhere(1)),
    _moves("TRANSPOSE", _int8(2) | _int16(5)),
    _moves("PAD", _int8(2) | _int16(3)),
    _moves("MIRROR_PAD", _int8(2) | _int16(3)),
    _moves("SLICE", _int8(2) | _int16(4)),
    _moves("STRIDED_SLICE", _int8(2) | _int16(4)),
    _moves("GATHER", _int8(2) | _int16(4) | _stored(0)),
    _moves("GATHER_ND", _int8(1) | _int16(3)),
    _moves("EMBEDDING_LOOKUP", _everywhere(1) | _dynamic(3, 1) | _stored(1), P, D),
    _moves("SPLIT", _int8(2) | _int16(4), P, D),
    _moves("SPLIT_V", _everywhere(2)),
    _moves("UNPACK", _int8(2) | _int16(4)),
    _moves("SQUEEZE", _everywhere(1)),
    _moves("EXPAND_DIMS", _everywhere(1)),
    _moves("REVERSE_SEQUENCE", _int16(1)),
    _moves("TILE", _everywhere(3)),
    _moves("REVERSE_V2", _everywhere(3)),
    _moves("BROADCAST_TO", _everywhere(3)),
    _moves("DEPTH_TO_SPACE", _int8(2)),
    _moves("SPACE_TO_DEPTH", _int8(2)),
    _moves("BATCH_TO_SPACE_ND", _int8(2) | _int16(4)),
    _moves("SPACE_TO_BATCH_ND", _int8(2) | _int16(4)),
)
OPS = MappingProxyType({row.name: replace(row, kernels=MappingProxyType(row.kernels)) for row in ROWS})


JOINING = frozenset(row.name for row in OPS.values() if row.scales is Scales.JOIN)  # one scale for all data inputs and the output


def has_kernel(op_name: str, precision: str) -> bool:
    """Whether an operator of that TFLite name runs in a precision unless it is special; everything runs in float32."""
    if precision == "float32":
        return True
    kernel = OPS[op_name].kernels.get(precision) if op_name in OPS else None
    return kernel is not None and not kernel.condition.rare
