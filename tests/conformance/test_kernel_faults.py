"""Kernels that are wrong, missing or stricter than the specification: the reasons for constraints, conditions and missing rows.

docs/kernels.md lists them by the names of these tests. When LiteRT mends one, its test fails and the row can come.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from case_data import ints, normal, weight
from one_op import OneOp, differences, with_forms

from bridge.errors import ToolError
from bridge.quantize import OPS
from bridge.quantize.forms import Form, asymmetric, symmetric
from bridge.tflite.interpreter import Kernels
from bridge.types import TensorRange

ALL: tuple[Kernels, ...] = ("optimized", "builtin", "reference")


def between(low: float, high: float) -> Form:
    return asymmetric(TensorRange(low, high))


def worst(op: OneOp, forms: Mapping[str, Form], version: int, kernels: Kernels) -> float:
    """Largest distance to the exact value in output steps."""
    return float(np.abs(differences(with_forms(op, forms, version), op.samples(), kernels)[0]).max())


POOL = {"padding": 0, "strideH": 2, "strideW": 2, "filterHeight": 3, "filterWidth": 3}
COPIES = (
    OneOp("AVERAGE_POOL_2D", {0: normal(1, 8, 8, 5)}, [(1, 4, 4, 5)], options=("Pool2DOptions", POOL)),
    OneOp("RESIZE_NEAREST_NEIGHBOR", {0: normal(1, 4, 5, 3)}, [(1, 8, 10, 3)], {1: ints(8, 10)}, ("ResizeNearestNeighborOptions", {})),
    OneOp("SLICE", {0: normal(2, 5, 4)}, [(1, 3, 4)], {1: ints(1, 1, 0), 2: ints(1, 3, -1)}),
    OneOp("GATHER", {0: normal(2, 5, 4)}, [(2, 3, 4)], {1: ints(4, 0, 2)}, ("GatherOptions", {"axis": 1})),
    OneOp("MAXIMUM", {0: normal(4, 7), 1: normal(4, 7, key=1)}, [(4, 7)], options=("MaximumMinimumOptions", {})),
    OneOp("SELECT_V2", {0: normal(4, 7) > 0, 1: normal(4, 7), 2: normal(4, 7, key=1)}, [(4, 7)]),
)


@pytest.mark.parametrize("op", COPIES, ids=lambda op: op.op)
def test_another_scale_at_the_output_is_ignored_without_a_word(op: OneOp) -> None:
    operands = {f"in{position}": between(-3, 3) for position, value in op.feeds.items() if value.dtype == np.float32}
    for kernels in ALL:
        assert worst(op, {**operands, "out0": between(-2, 2)}, 2, kernels) > 10


@pytest.mark.parametrize("name", ["MAX_POOL_2D", "TRANSPOSE", "PAD"])
def test_xnnpack_refuses_another_scale_at_the_output(name: str) -> None:
    op = {
        "MAX_POOL_2D": OneOp(name, {0: normal(1, 8, 8, 5)}, [(1, 4, 4, 5)], options=("Pool2DOptions", POOL)),
        "TRANSPOSE": OneOp(name, {0: normal(3, 4)}, [(4, 3)], {1: ints(1, 0)}),
        "PAD": OneOp(name, {0: normal(3, 4)}, [(5, 4)], {1: ints([1, 1], [0, 0])}),
    }[name]
    forms = {"in0": between(-3, 3), "out0": between(-2, 2)}
    with pytest.raises(ToolError, match="failed to delegate"):
        worst(op, forms, 2, "optimized")
    assert worst(op, forms, 2, "builtin") > 10


@pytest.mark.parametrize(
    ("name", "options"),
    [("SOFTMAX", ("SoftmaxOptions", {"beta": 1.0})), ("LOG_SOFTMAX", ("LogSoftmaxOptions", {})), ("L2_NORMALIZATION", ("L2NormOptions", {}))],
)
def test_kernel_refuses_any_but_its_own_output_scale(name: str, options: tuple[str, Mapping[str, object]]) -> None:
    op = OneOp(name, {0: normal(3, 17)}, [(3, 17)], options=options)
    for kernels in ALL:
        with pytest.raises(ToolError, match="output->params"):
            worst(op, {"in0": between(-3, 3), "out0": between(-1, 0.9)}, 2, kernels)


def test_logistic_is_refused_with_another_output_scale_where_xnnpack_is_absent() -> None:
    op, forms = OneOp("LOGISTIC", {0: normal(3, 17)}, [(3, 17)]), {"in0": between(-3, 3), "out0": between(0, 0.9)}
    assert worst(op, forms, 2, "optimized") < 1
    with pytest.raises(ToolError, match=r"output->params\.scale"):
        worst(op, forms, 2, "builtin")


def test_neg_does_not_know_the_zero_point() -> None:
    op = OneOp("NEG", {0: normal(3, 17)}, [(3, 17)])
    for kernels in ALL:
        assert worst(op, {"in0": between(-1, 3), "out0": between(-3, 1)}, 1, kernels) > 100


def test_neg_turns_the_lowest_value_into_itself_even_when_symmetric() -> None:
    op, form = OneOp("NEG", {0: np.array([[-1.1, 0.5]], np.float32)}, [(2,)]), symmetric(TensorRange(-1, 1))
    for kernels in ALL:
        assert worst(op, {"in0": form, "out0": form}, 1, kernels) == pytest.approx(255, abs=1)


def test_sum_is_wrong_in_the_reference_kernel_alone() -> None:
    op = OneOp("SUM", {0: normal(2, 6, 6, 5)}, [(2, 5)], {1: ints(1, 2)}, ("ReducerOptions", {}))
    forms = {"in0": between(-3, 3), "out0": between(-20, 20)}
    assert worst(op, forms, 2, "optimized") < 1
    assert worst(op, forms, 2, "builtin") < 1
    assert worst(op, forms, 2, "reference") > 10


def test_sqrt_cuts_off_where_it_should_round() -> None:
    op = OneOp("SQRT", {0: np.abs(normal(5, 7))}, [(5, 7)])
    (off,) = differences(with_forms(op, {"in0": between(0, 3), "out0": between(0, 1.8)}, 2), op.samples(), "optimized")
    assert off.min() < -0.9
    assert off.max() <= 0.01
    assert np.sqrt(np.mean(off**2)) > 0.5


def test_div_ends_the_run_when_a_divisor_rounds_to_zero() -> None:
    op = OneOp("DIV", {0: normal(5, 7), 1: np.abs(normal(5, 7, key=9))}, [(5, 7)], options=("DivOptions", {}))
    forms = {"in0": between(-3, 3), "in1": between(0, 900), "out0": between(-9, 9)}
    for kernels in ALL:
        with pytest.raises(ToolError, match="was not true"):
            worst(op, forms, 1, kernels)


CONV = OneOp(
    "CONV_2D",
    {0: normal(1, 5, 5, 3)},
    [(1, 5, 5, 2)],
    {1: weight(2, 3, 3, 3), 2: np.zeros(2, np.float32)},
    ("Conv2DOptions", {"padding": 0, "strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}),
)


def test_xnnpack_does_not_load_a_convolution_whose_output_is_256_times_finer_than_its_sums() -> None:
    product = 6 / 255 / 127
    for finer, refused in ((200, False), (300, True)):
        filters = {"in1": Form("INT8", (1 / 127,), (0,)), "in2": Form("INT32", (product,), (0,))}
        forms = {"in0": between(-3, 3), **filters, "out0": between(-128 * product / finer, 127 * product / finer)}
        if refused:
            with pytest.raises(ToolError, match="failed to create XNNPACK runtime"):
                worst(CONV, forms, 3, "optimized")
        else:
            assert worst(CONV, forms, 3, "optimized") <= 1


def test_a_convolution_without_bias_does_not_load() -> None:
    without = OneOp("CONV_2D", CONV.feeds, CONV.outputs, {1: CONV.constants[1]}, CONV.options)
    with pytest.raises(ToolError, match="has_bias"):
        worst(without, {"in0": between(-3, 3), "in1": Form("INT8", (1 / 127,), (0,)), "out0": between(-5, 5)}, 3, "builtin")


def test_hard_swish_does_not_load_when_its_output_is_128_times_finer_than_its_input() -> None:
    op = OneOp("HARD_SWISH", {0: normal(3, 17)}, [(3, 17)])
    with pytest.raises(ToolError, match="output_multiplier_exponent"):
        worst(op, {"in0": between(-3, 3), "out0": between(-0.01, 0.01)}, 1, "builtin")


@pytest.mark.parametrize(("finer", "right"), [(0.5, True), (1.0, False), (8.0, False)])
def test_mul_without_xnnpack_returns_the_wrong_end_when_a_product_exceeds_int16(finer: float, right: bool) -> None:
    data = {0: np.full((1, 64), 3, np.float32), 1: np.full((1, 64), -3, np.float32)}  # 64: the vector instructions take 16 at a time
    op, product = OneOp("MUL", data, [(64,)], options=("MulOptions", {})), (3 / 255) ** 2
    forms = {"in0": between(0, 3), "in1": between(-3, 0), "out0": between(-28 * product / finer, 227 * product / finer)}
    assert worst(op, forms, 3, "optimized") <= 1
    assert (worst(op, forms, 3, "builtin") <= 1) == right


def test_scatter_nd_leaves_stored_zeros_between_the_updates() -> None:
    op = OneOp("SCATTER_ND", {1: normal(2, 5)}, [(4, 5)], {0: ints([3], [1]), 2: ints(4, 5)})
    for kernels in ALL:
        assert worst(op, {"in1": between(-1, 3), "out0": between(-1, 3)}, 1, kernels) == pytest.approx(64, abs=1)


def test_cast_takes_the_stored_integers_for_the_values() -> None:
    op = OneOp("CAST", {0: normal(3, 5)}, [(3, 5)], options=("CastOptions", {}), output_types=["int32"])
    for kernels in ALL:
        assert worst(op, {"in0": between(-1, 3)}, 3, kernels) == 1


def test_floor_div_divides_the_stored_integers() -> None:
    op = OneOp("FLOOR_DIV", {0: normal(3, 5)}, [(3, 5)], {1: np.array([0.5], np.float32)})
    for kernels in ALL:
        assert worst(op, {"in0": between(-1, 3), "in1": between(0, 0.5), "out0": between(-3, 6)}, 3, kernels) > 10


@pytest.mark.parametrize("function", [np.log, lambda values: 1 / np.sqrt(values), np.sqrt], ids=["LOG", "RSQRT", "SQRT"])
def test_rounding_an_int8_input_near_zero_costs_many_output_steps(function: Callable[[np.ndarray], np.ndarray]) -> None:
    values = np.geomspace(0.004, 4, 1000)
    step = 4 / 255
    exact, got = function(values), function(np.maximum(np.rint(values / step), 1) * step)
    assert np.abs(exact - got).max() / ((exact.max() - exact.min()) / 255) > 7


WITHOUT_KERNEL = (
    *(OneOp(name, {0: normal(3, 17)}, [(3, 17)]) for name in ("SQUARE", "SIGN", "ROUND", "FLOOR", "CEIL", "SIN", "COS", "ZEROS_LIKE")),
    OneOp("POW", {0: np.abs(normal(3, 17))}, [(3, 17)], {1: np.array([2], np.float32)}),
    OneOp("CUMSUM", {0: normal(3, 9)}, [(3, 9)], {1: np.array(1, np.int32)}, ("CumsumOptions", {})),
    OneOp("ADD_N", {0: normal(3, 9), 1: normal(3, 9)}, [(3, 9)]),
    OneOp("L2_POOL_2D", {0: normal(1, 8, 8, 5)}, [(1, 4, 4, 5)], options=("Pool2DOptions", POOL)),
    OneOp("LOCAL_RESPONSE_NORMALIZATION", {0: normal(1, 8, 8, 5)}, [(1, 8, 8, 5)], options=("LocalResponseNormalizationOptions", {"radius": 2})),
    OneOp(
        "CONV_3D",
        {0: normal(1, 4, 4, 4, 3)},
        [(1, 4, 4, 4, 5)],
        {1: weight(3, 3, 3, 3, 5)},
        ("Conv3DOptions", {f"{kind}{axis}" + ("Factor" if kind == "dilation" else ""): 1 for kind in ("stride", "dilation") for axis in "DHW"}),
    ),
    OneOp("REVERSE_SEQUENCE", {0: normal(3, 5)}, [(3, 5)], {1: ints(2, 3, 4)}, ("ReverseSequenceOptions", {"seqDim": 1})),
    OneOp("SEGMENT_SUM", {0: normal(3, 5)}, [(2, 5)], {1: ints(0, 0, 1)}),
    OneOp("ATAN2", {0: normal(3, 5), 1: normal(3, 5)}, [(3, 5)]),
)


@pytest.mark.parametrize("op", WITHOUT_KERNEL, ids=lambda op: op.op)
def test_no_int8_kernel_exists(op: OneOp) -> None:
    operands = {f"in{position}": between(-3, 3) for position, value in {**op.feeds, **op.constants}.items() if value.dtype == np.float32}
    with pytest.raises(ToolError):
        worst(op, {**operands, "out0": between(-3, 9)}, 1, "builtin")
    assert op.op not in OPS


@pytest.mark.parametrize(
    "name", ["NEG", "SUM", "SQRT", "DIV", "SCATTER_ND", "CAST", "FLOOR_DIV", "LOG", "RSQRT", "REDUCE_PROD", "EQUAL", "NOT_EQUAL"]
)
def test_operator_with_a_kernel_that_cannot_be_trusted_has_no_row(name: str) -> None:
    assert name not in OPS
