"""Integer kernels that LiteRT does not have, or that are wrong: why an operator has no row, or no kernel in its row.

Measured with LiteRT 2.3.0. Each entry names its proof in tests/conformance/findings.py, which fails when a later LiteRT has mended it.
"""

from collections.abc import Iterator
from types import MappingProxyType

from msgspec import Struct

INT8, INT16 = "static_wi8_ai8", "static_wi8_ai16"
BOTH = (INT8, INT16)
ABSENT = "LiteRT has none"


class MissingKernel(Struct, frozen=True):
    """What keeps an operator from running in a precision.

    Attributes:
        op: TFLite name.
        precisions: where.
        reason: what happens otherwise.
        finding: how the id of its proof begins; '' where LiteRT refuses every file.
    """

    op: str
    precisions: tuple[str, ...]
    reason: str
    finding: str = ""


def _absent(precisions: tuple[str, ...], *ops: str) -> Iterator[MissingKernel]:
    for op in ops:
        yield MissingKernel(op, precisions, ABSENT)


def _comparisons() -> Iterator[MissingKernel]:
    reason = "it has 8 bits behind the point: near values count as equal, and from a scale of 1 on up to half of all answers are wrong"
    for op in ("GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"):
        yield MissingKernel(op, (INT8,), reason, f"comparison-wraps-from-a-scale-of-1-on-{op}")
        yield MissingKernel(op, (INT16,), reason, f"int16-comparison-finds-near-values-equal-{op}")
    for op in ("EQUAL", "NOT_EQUAL"):
        yield MissingKernel(op, (INT8,), reason, f"comparison-finds-small-values-equal-{op}")
        yield MissingKernel(op, (INT16,), reason, f"int16-comparison-finds-near-values-equal-{op}")


STORED = "it takes the stored integers for the values"
TABLE = "it draws straight lines between the 513 entries of a table: up to {} steps off"
INSIDE = "it needs the ranges of what is computed inside of it, which no run shows"

MISSING = (
    MissingKernel("NEG", (INT8,), "it negates the stored integer, whatever the zero point", "neg-does-not-know-the-zero-point"),
    MissingKernel("NEG", (INT16,), "it turns the lowest value into itself", "int16-neg-turns-the-lowest-value-into-itself"),
    MissingKernel("SUM", (INT8,), "the reference kernel is up to 97 steps off", "sum-is-wrong-in-the-reference-kernel-alone"),
    MissingKernel("SUM", (INT16,), "the reference kernel is up to 24858 steps off", "int16-sum-is-wrong-in-the-reference-kernel-alone"),
    MissingKernel("REDUCE_PROD", (INT8,), "it rounds every partial product: up to 77 steps off", "reduce-prod-rounds-every-partial-product"),
    MissingKernel("REDUCE_PROD", (INT16,), "it rounds every partial product: up to 13 steps off", "int16-reduce-prod-rounds-every-partial-product"),
    MissingKernel("SQRT", (INT8,), "it cuts off instead of rounding: always downwards, RMSE 0.6 steps", "sqrt-cuts-off-where-it-should-round"),
    MissingKernel("SQRT", (INT16,), "it cuts off instead of rounding: always downwards, RMSE 0.6 steps", "int16-sqrt-cuts-off-where-it-should-round"),
    MissingKernel("SCATTER_ND", (INT8,), "it fills with stored zeros, not with the zero point", "scatter-nd-leaves-stored-zeros-between-the-updates"),
    MissingKernel("CAST", BOTH, STORED, "cast-takes-the-stored-integers-for-the-values"),
    MissingKernel("FLOOR_DIV", BOTH, STORED, "the-stored-integers-are-divided-FLOOR_DIV"),
    MissingKernel("FLOOR_MOD", BOTH, STORED, "the-stored-integers-are-divided-FLOOR_MOD"),
    *_comparisons(),
    MissingKernel("PRELU", (INT16,), "it is up to 9025 steps off", "prelu-of-int16-is-garbage"),
    MissingKernel("EXP", (INT16,), TABLE.format(156), "exp-of-int16-is-a-coarse-table"),
    MissingKernel("LOG", (INT16,), TABLE.format(450), "log-of-int16-is-a-coarse-table"),
    MissingKernel("RSQRT", (INT16,), TABLE.format(531), "rsqrt-of-int16-is-a-coarse-table"),
    *(
        MissingKernel(op, BOTH, INSIDE, "integer-lstm-does-not-load-without-the-ranges-of-what-is-inside")
        for op in ("UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN")
    ),
    *_absent(BOTH, "ADD_N", "ATAN2", "CEIL", "CONV_3D", "CONV_3D_TRANSPOSE", "COS", "CUMSUM", "FLOOR", "L2_POOL_2D"),
    *_absent(BOTH, "LOCAL_RESPONSE_NORMALIZATION", "POW", "ROUND", "SEGMENT_SUM", "SIGN", "SIN", "SQUARE", "ZEROS_LIKE"),
    *_absent((INT8,), "REVERSE_SEQUENCE"),
    *_absent((INT16,), "ARG_MAX", "ARG_MIN", "DEPTH_TO_SPACE", "ELU", "HARD_SWISH", "L2_NORMALIZATION", "LOG_SOFTMAX", "ONE_HOT"),
    *_absent((INT16,), "RELU_0_TO_1", "RELU_N1_TO_1", "SCATTER_ND", "SPACE_TO_DEPTH", "SQUARED_DIFFERENCE"),
)

# Operators whose float values, where they have any, are boxes, random numbers or what other operators of a loop compute.
NOTHING_TO_QUANTIZE = frozenset(
    {
        *("BITWISE_XOR", "CUSTOM", "DEQUANTIZE", "LOGICAL_AND", "LOGICAL_NOT", "LOGICAL_OR", "NON_MAX_SUPPRESSION_V4", "NON_MAX_SUPPRESSION_V5"),
        *("QUANTIZE", "RANDOM_STANDARD_NORMAL", "RANDOM_UNIFORM", "RANGE", "RIGHT_SHIFT", "SHAPE", "UNIQUE", "WHERE", "WHILE"),
    }
)

_REASONS = MappingProxyType({(row.op, precision): row.reason for row in MISSING for precision in row.precisions})


def why_no_kernel(op: str, precision: str) -> str:
    """Why an operator has no kernel in a precision; '' where nothing is known about it."""
    return _REASONS.get((op, precision), "")
