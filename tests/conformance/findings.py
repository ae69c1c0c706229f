"""What is wrong, missing or stricter than the specification in LiteRT's kernels: one small model per finding, for the tests and for `reproduce.py`.

docs/kernels.md and `bridge/quantize/missing_kernels.py` name findings by their ids. When LiteRT mends one, its test fails and the row can come.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from case_data import DATA, ints, normal, weight
from one_op import OneOp, Options, calibrate
from recurrent_cases import lstm

from bridge.quantize.forms import Form, asymmetric, symmetric
from bridge.tflite.interpreter import Kernels
from bridge.types import TensorRange

ALL: tuple[Kernels, ...] = ("optimized", "builtin", "reference")
RIGHT = 0.0  # within a step


@dataclass(frozen=True)
class Finding:
    """A kernel that does not do what its float version does.

    Attributes:
        id: what happens, as words with hyphens.
        op: the model in float.
        forms: how its tensors are stored, by name.
        version: of the operator.
        expect: per kernel set: by how many output steps it is off at least, or a part of the message with which it refuses the file.
    """

    id: str
    op: OneOp
    forms: Mapping[str, Form]
    expect: Mapping[Kernels, float | str] = field(default_factory=dict)
    version: int = 2


def everywhere(off: float | str) -> Mapping[Kernels, float | str]:
    return dict.fromkeys(ALL, off)


def int8(low: float, high: float) -> Form:
    return asymmetric(TensorRange(low, high))


def int16(low: float, high: float) -> Form:
    return symmetric(TensorRange(low, high), "INT16")


def line(low: float, high: float) -> np.ndarray:
    """[4, 64] float32, evenly from low to high."""
    return np.linspace(low, high, 256, dtype=np.float32).reshape(4, 64)


POOL = {"padding": 0, "strideH": 2, "strideW": 2, "filterHeight": 3, "filterWidth": 3}
POOLED = OneOp("AVERAGE_POOL_2D", {0: normal(1, 8, 8, 5)}, [(1, 4, 4, 5)], options=("Pool2DOptions", POOL))
COPIES = (
    POOLED,
    OneOp("RESIZE_NEAREST_NEIGHBOR", {0: normal(1, 4, 5, 3)}, [(1, 8, 10, 3)], {1: ints(8, 10)}, ("ResizeNearestNeighborOptions", {})),
    OneOp("SLICE", {0: normal(2, 5, 4)}, [(1, 3, 4)], {1: ints(1, 1, 0), 2: ints(1, 3, -1)}),
    OneOp("GATHER", {0: normal(2, 5, 4)}, [(2, 3, 4)], {1: ints(4, 0, 2)}, ("GatherOptions", {"axis": 1})),
    OneOp("MAXIMUM", {0: normal(4, 7), 1: normal(4, 7, key=1)}, [(4, 7)], options=("MaximumMinimumOptions", {})),
    OneOp("SELECT_V2", {0: normal(4, 7) > 0, 1: normal(4, 7), 2: normal(4, 7, key=1)}, [(4, 7)]),
)
CHECKED_COPIES = (
    OneOp("MAX_POOL_2D", {0: normal(1, 8, 8, 5)}, [(1, 4, 4, 5)], options=("Pool2DOptions", POOL)),
    OneOp("TRANSPOSE", {0: normal(3, 4)}, [(4, 3)], {1: ints(1, 0)}),
    OneOp("PAD", {0: normal(3, 4)}, [(5, 4)], {1: ints([1, 1], [0, 0])}),
)


def _scales() -> Iterator[Finding]:
    for op in COPIES:
        operands = {f"in{position}": int8(-3, 3) for position, value in op.feeds.items() if value.dtype == np.float32}
        yield Finding(f"another-output-scale-is-ignored-{op.op}", op, {**operands, "out0": int8(-2, 2)}, everywhere(10))
    for op in CHECKED_COPIES:
        forms = {"in0": int8(-3, 3), "out0": int8(-2, 2)}
        yield Finding(f"xnnpack-refuses-another-output-scale-{op.op}", op, forms, {"optimized": "failed to delegate", "builtin": 10})
    tables: Mapping[str, Options] = {
        "SOFTMAX": ("SoftmaxOptions", {"beta": 1.0}),
        "LOG_SOFTMAX": ("LogSoftmaxOptions", {}),
        "L2_NORMALIZATION": ("L2NormOptions", {}),
    }
    for name, options in tables.items():
        op = OneOp(name, {0: normal(3, 17)}, [(3, 17)], options=options)
        forms = {"in0": int8(-3, 3), "out0": int8(-1, 0.9)}
        yield Finding(f"kernel-refuses-any-but-its-own-output-scale-{name}", op, forms, everywhere("output->params"))
    forms = {"in0": int8(-3, 3), "out0": int8(0, 0.9)}
    expect: Mapping[Kernels, float | str] = {"optimized": RIGHT, "builtin": r"output->params\.scale"}
    yield Finding("logistic-takes-another-output-scale-in-xnnpack-alone", OneOp("LOGISTIC", {0: normal(3, 17)}, [(3, 17)]), forms, expect)


CONV_OPTIONS = {"padding": 0, "strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
CONV = OneOp("CONV_2D", {0: normal(1, 5, 5, 3)}, [(1, 5, 5, 2)], {1: weight(2, 3, 3, 3), 2: np.zeros(2, np.float32)}, ("Conv2DOptions", CONV_OPTIONS))
EQUAL_SIDES = {0: np.full((1, 64), 3, np.float32), 1: np.full((1, 64), -3, np.float32)}  # 64: the vector instructions take 16 at a time


def _ranges() -> Iterator[Finding]:
    unit = Form("INT8", (1 / 127,), (0,))
    product = 6 / 255 / 127
    for finer, off in ((200, RIGHT), (300, "failed to create XNNPACK runtime")):
        forms = {"in0": int8(-3, 3), "in1": unit, "in2": Form("INT32", (product,), (0,)), "out0": int8(-128 * product / finer, 127 * product / finer)}
        yield Finding(f"xnnpack-and-a-convolution-whose-output-is-{finer}-times-finer-than-its-sums", CONV, forms, {"optimized": off}, 3)
    without = OneOp("CONV_2D", CONV.feeds, CONV.outputs, {1: CONV.constants[1]}, CONV.options)
    yield Finding(
        "convolution-without-bias-does-not-load", without, {"in0": int8(-3, 3), "in1": unit, "out0": int8(-5, 5)}, {"builtin": "has_bias"}, 3
    )
    swish = OneOp("HARD_SWISH", {0: normal(3, 17)}, [(3, 17)])
    forms = {"in0": int8(-3, 3), "out0": int8(-0.01, 0.01)}
    yield Finding("hard-swish-does-not-load-when-its-output-is-128-times-finer", swish, forms, {"builtin": "output_multiplier_exponent"}, 1)
    multiply, squared = OneOp("MUL", EQUAL_SIDES, [(64,)], options=("MulOptions", {})), (3 / 255) ** 2
    for fineness, wrong in ((0.5, RIGHT), (1.0, 100.0), (8.0, 100.0)):
        forms = {"in0": int8(0, 3), "in1": int8(-3, 0), "out0": int8(-28 * squared / fineness, 227 * squared / fineness)}
        yield Finding(
            f"mul-without-xnnpack-and-an-output-{fineness:g}-times-as-fine-as-the-product", multiply, forms, {"optimized": RIGHT, "builtin": wrong}, 3
        )
    forms = {"in0": int16(-1e6, 1e6), "out0": Form("INT16", (1 / 32768,), (0,))}
    for name in ("LOGISTIC", "TANH"):
        yield Finding(f"int16-input-beyond-174757-overflows-{name}", OneOp(name, {0: line(-1e6, 1e6)}, [(64,)]), forms, everywhere(10000), 3)
    rows = OneOp("SOFTMAX", {0: normal(8, 8, scale=3e5)}, [(8, 8)], options=("SoftmaxOptions", {"beta": 1.0}))
    yield Finding("int16-softmax-beyond-163840-overflows", rows, forms, everywhere(10000), 3)
    wide = OneOp("SOFTMAX", {0: normal(1, 1000, scale=10)}, [(1, 1000)], options=("SoftmaxOptions", {"beta": 1.0}))
    forms = {"in0": int16(-40, 40), "out0": Form("INT16", (1 / 32768,), (0,))}
    yield Finding("int16-softmax-is-off-by-two-steps-per-entry", wide, forms, everywhere(500), 3)
    half: Options = ("ResizeBilinearOptions", {"halfPixelCenters": True})
    resize = OneOp("RESIZE_BILINEAR", {0: normal(1, 33, 1, 1)}, [(1, 500, 1, 1)], {1: ints(500, 1)}, half)
    same = int8(-3, 3)
    expect: Mapping[Kernels, float | str] = {"optimized": RIGHT, "builtin": 10, "reference": 10}
    yield Finding("bilinear-positions-drift-without-xnnpack", resize, {"in0": same, "out0": same}, expect, 3)
    corners: Options = ("ResizeBilinearOptions", {"alignCorners": True})
    resize = OneOp("RESIZE_BILINEAR", {0: normal(1, 4, 5, 3)}, [(1, 7, 13, 3)], {1: ints(7, 13)}, corners)
    yield Finding("int16-bilinear-positions-drift", resize, {"in0": int16(-3, 3), "out0": int16(-3, 3)}, everywhere(50), 4)
    tiny = Form("INT8", (1e-12,), (0,))
    forms = {"in0": int16(-3, 3), "in1": tiny, "in2": Form("INT64", (3 / 32767 * 1e-12,), (0,)), "out0": int16(-3, 3)}
    biased = OneOp("CONV_2D", CONV.feeds, CONV.outputs, {1: 0 * weight(2, 3, 3, 3), 2: np.array([1, 2], np.float32)}, CONV.options)
    yield Finding("int16-convolution-loses-the-bias-of-a-switched-off-channel", biased, forms, everywhere(1000), 4)
    product16 = OneOp("BATCH_MATMUL", {0: normal(1, 3, 16), 1: normal(1, 16, 5, key=7)}, [(1, 3, 5)], options=("BatchMatMulOptions", {}))
    forms = {"in0": int16(-3, 3), "in1": int16(-3, 3), "out0": int16(-1e-5, 1e-5)}
    yield Finding("int16-matrix-product-wraps-where-it-should-saturate", product16, forms, everywhere(10000), 3)


def _unary(name: str, low: float, high: float) -> OneOp:
    return OneOp(name, {0: line(low, high)}, [(64,)])


def _wrong() -> Iterator[Finding]:
    negative, balanced = OneOp("NEG", {0: normal(3, 17)}, [(3, 17)]), symmetric(TensorRange(-1, 1))
    yield Finding("neg-does-not-know-the-zero-point", negative, {"in0": int8(-1, 3), "out0": int8(-3, 1)}, everywhere(100), 1)
    lowest = OneOp("NEG", {0: np.array([[-1.1, 0.5]], np.float32)}, [(2,)])
    yield Finding("neg-turns-the-lowest-value-into-itself", lowest, {"in0": balanced, "out0": balanced}, everywhere(254), 1)
    yield Finding("int16-neg-turns-the-lowest-value-into-itself", lowest, {"in0": int16(-1, 1), "out0": int16(-1, 1)}, everywhere(65000), 1)
    total = OneOp("SUM", {0: normal(2, 6, 6, 5)}, [(2, 5)], {1: ints(1, 2)}, ("ReducerOptions", {}))
    expect: Mapping[Kernels, float | str] = {"optimized": RIGHT, "builtin": RIGHT, "reference": 10}
    yield Finding("sum-is-wrong-in-the-reference-kernel-alone", total, {"in0": int8(-3, 3), "out0": int8(-20, 20)}, expect)
    yield Finding("int16-sum-is-wrong-in-the-reference-kernel-alone", total, {"in0": int16(-3, 3), "out0": int16(-20, 20)}, expect)
    powers = OneOp("REDUCE_PROD", {0: DATA["outlier"](3, 6)}, [(3,)], {1: ints(1)}, ("ReducerOptions", {}))
    ranges = calibrate(powers.build(), powers.samples()).tensors
    forms = {name: asymmetric(span) for name, span in ranges.items()}
    yield Finding("reduce-prod-rounds-every-partial-product", powers, forms, everywhere(50))
    forms = {name: symmetric(span, "INT16") for name, span in ranges.items()}
    yield Finding("int16-reduce-prod-rounds-every-partial-product", powers, forms, everywhere(10))
    yield Finding("sqrt-cuts-off-where-it-should-round", _unary("SQRT", 0, 3), {"in0": int8(0, 3), "out0": int8(0, 1.8)}, everywhere(0.9))
    yield Finding("int16-sqrt-cuts-off-where-it-should-round", _unary("SQRT", 0, 3), {"in0": int16(0, 3), "out0": int16(0, 1.8)}, everywhere(0.9))
    divisors = {0: normal(5, 7), 1: np.abs(normal(5, 7, key=9))}
    options: Options = ("DivOptions", {})
    quotient = OneOp("DIV", divisors, [(5, 7)], options=options)
    forms = {"in0": int8(-3, 3), "in1": int8(0, 900), "out0": int8(-9, 9)}
    yield Finding("div-ends-the-run-when-a-divisor-rounds-to-zero", quotient, forms, everywhere("was not true"), 1)
    several = OneOp("DIV", {0: line(-5, 5)}, [(64,)], {1: np.linspace(0.1, 1, 64, dtype=np.float32)}, options)
    forms = {"in0": int8(-5, 5), "in1": int8(0, 1), "out0": int8(-50, 50)}
    yield Finding("div-by-several-constants-overflows", several, forms, everywhere(50), 1)
    scattered = OneOp("SCATTER_ND", {1: normal(2, 5)}, [(4, 5)], {0: ints([3], [1]), 2: ints(4, 5)})
    yield Finding("scatter-nd-leaves-stored-zeros-between-the-updates", scattered, {"in1": int8(-1, 3), "out0": int8(-1, 3)}, everywhere(60), 1)
    cast = OneOp("CAST", {0: normal(3, 5)}, [(3, 5)], options=("CastOptions", {}), output_types=["int32"])
    yield Finding("cast-takes-the-stored-integers-for-the-values", cast, {"in0": int8(-1, 3)}, everywhere(1), 3)
    for name in ("FLOOR_DIV", "FLOOR_MOD"):
        op = OneOp(name, {0: normal(3, 5)}, [(3, 5)], {1: np.array([0.5], np.float32)})
        forms = {"in0": int8(-1, 3), "in1": int8(0, 0.5), "out0": int8(-3, 6)}
        yield Finding(f"the-stored-integers-are-divided-{name}", op, forms, everywhere(10), 3 if name == "FLOOR_DIV" else 2)
    parametric = OneOp("PRELU", {0: normal(1, 4, 5, 6)}, [(1, 4, 5, 6)], {1: weight(1, 1, 6)})
    forms = {"in0": int16(-3, 3), "in1": int16(-1, 1), "out0": int16(-3, 3)}
    yield Finding("prelu-of-int16-is-garbage", parametric, forms, everywhere(5000), 1)
    yield Finding("exp-of-int16-is-a-coarse-table", _unary("EXP", -60, 0), {"in0": int16(-60, 60), "out0": int16(0, 1)}, everywhere(100))
    yield Finding("log-of-int16-is-a-coarse-table", _unary("LOG", 0.05, 4), {"in0": int16(0, 4), "out0": int16(-3, 1.4)}, everywhere(20))
    yield Finding("rsqrt-of-int16-is-a-coarse-table", _unary("RSQRT", 0.05, 4), {"in0": int16(0, 4), "out0": int16(0, 4.5)}, everywhere(20), 3)


def _comparisons() -> Iterator[Finding]:
    small, large = line(-1, 1), np.roll(line(-1000, 1000), 77)
    for name in ("GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"):
        op = OneOp(name, {0: small, 1: large}, [(64,)], {}, (name.title().replace("_", "") + "Options", {}), ["bool"])
        yield Finding(f"comparison-wraps-from-a-scale-of-1-on-{name}", op, {"in0": int8(-1, 1), "in1": int8(-1000, 1000)}, everywhere(1))
    for name in ("EQUAL", "NOT_EQUAL"):
        op = OneOp(name, {0: line(0, 1e-3), 1: np.roll(line(0, 1e-3), 5)}, [(64,)], {}, (name.title().replace("_", "") + "Options", {}), ["bool"])
        yield Finding(f"comparison-finds-small-values-equal-{name}", op, {"in0": int8(0, 1e-3), "in1": int8(0, 1e-3)}, everywhere(1))
    for name in ("GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "EQUAL", "NOT_EQUAL"):
        op = OneOp(name, {0: small, 1: small}, [(64,)], {}, (name.title().replace("_", "") + "Options", {}), ["bool"])
        yield Finding(f"int16-comparison-finds-near-values-equal-{name}", op, {"in0": int16(-1, 1), "in1": int16(-10, 10)}, everywhere(1), 1)


def _hybrid() -> Iterator[Finding]:
    forms = {"in0": int8(-3, 3), "out0": int8(-1, 1), **{f"in{position}": Form("INT8", (0.01,), (0,)) for position in range(1, 9)}}
    model = lstm(normal(5, 2, 6))
    yield Finding("integer-lstm-does-not-load-without-the-ranges-of-what-is-inside", model, forms, everywhere("LiteRT cannot"), 3)


FINDINGS = (*_scales(), *_ranges(), *_wrong(), *_comparisons(), *_hybrid())
