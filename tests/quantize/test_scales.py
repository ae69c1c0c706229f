"""Which tensors share a scale, and what is requantized instead."""

from pathlib import Path

import numpy as np
import pytest
from nets import INT8, Net, form, ops, precisions, quantized, ranges, sqnr_db, tensors

from bridge.types import Ranges, TensorRange

POOL = ("Pool2DOptions", {"filterHeight": 2, "filterWidth": 2, "strideH": 2, "strideW": 2})
AXIS_3 = ("ConcatenationOptions", {"axis": 3})


def test_copies_have_the_scale_of_what_they_copy(tmp_path: Path) -> None:
    net = Net()
    first = net.conv(net.input("x", 1, 8, 8, 3), "first", 1, 8, 8, 4)
    pooled = net.op("AVERAGE_POOL_2D", [first], "pooled", 1, 4, 4, 4, options=POOL)
    flat = net.op("RESHAPE", [pooled, net.constant("to", np.array([1, 64], np.int32))], "flat", 1, 64, options=("ReshapeOptions", {}))
    begin, size = net.constant("begin", np.array([0, 3], np.int32)), net.constant("size", np.array([1, 10], np.int32))
    path = net.save(tmp_path / "net.tflite", net.op("SLICE", [flat, begin, size], "sliced", 1, 10))
    made = quantized(path, output_dtype="int8")
    span = ranges(path).tensors["first"]
    assert form(made.path, "first")[1] == pytest.approx((span.maximum - span.minimum) / 255, rel=1e-6)
    assert form(made.path, "first") == form(made.path, "pooled") == form(made.path, "flat") == form(made.path, "sliced")


@pytest.mark.parametrize(
    ("name", "scale", "zero_point", "options"),
    [("LOGISTIC", 1 / 256, -128, None), ("TANH", 1 / 128, 0, None), ("SOFTMAX", 1 / 256, -128, ("SoftmaxOptions", {"beta": 1.0}))],
)
def test_fixed_output_scales_reach_through_copies(
    name: str, scale: float, zero_point: int, options: tuple[str, dict[str, object]], tmp_path: Path
) -> None:
    net = Net()
    value = net.op(name, [net.input("x", 1, 16)], "value", 1, 16, options=options)
    path = net.save(
        tmp_path / "net.tflite", net.op("RESHAPE", [value, net.constant("to", np.array([16], np.int32))], "flat", 16, options=("ReshapeOptions", {}))
    )
    made = quantized(path, output_dtype="int8")
    assert form(made.path, "value") == form(made.path, "flat") == ("INT8", scale, zero_point)


def joined(folder: Path, *, left_scale: float = 0.4, also_read: bool = False) -> Path:
    net = Net()
    x = net.input("x", 1, 8, 8, 3)
    left, right = net.conv(x, "left", 1, 8, 8, 4, scale=left_scale), net.conv(x, "right", 1, 8, 8, 4, seed=1)
    outputs = [net.op("CONCATENATION", [left, right], "both", 1, 8, 8, 8, options=AXIS_3)]
    if also_read:
        outputs.append(net.conv(left, "other", 1, 8, 8, 2, channels=4))
    return net.save(folder / "net.tflite", *outputs)


def test_inputs_that_nobody_else_reads_are_computed_in_the_scale_of_the_join(tmp_path: Path) -> None:
    made = quantized(joined(tmp_path, left_scale=0.001))
    assert ops(made.path) == ["QUANTIZE", "CONV_2D", "CONV_2D", "CONCATENATION", "DEQUANTIZE"]
    assert form(made.path, "left") == form(made.path, "right") == form(made.path, "both_int8")


def test_a_small_input_that_others_read_keeps_its_scale_and_is_requantized(tmp_path: Path) -> None:
    made = quantized(joined(tmp_path, left_scale=0.001, also_read=True))
    assert ops(made.path).count("QUANTIZE") == 2
    assert form(made.path, "left")[1] < form(made.path, "both_int8")[1] / 1.25
    assert form(made.path, "left_int8") == form(made.path, "both_int8")


def test_an_input_that_others_read_shares_a_scale_that_is_hardly_larger(tmp_path: Path) -> None:
    path = joined(tmp_path, also_read=True)
    known = {**ranges(path).tensors, "left": TensorRange(-5, 5), "right": TensorRange(-6, 6), "both": TensorRange(-6, 6)}
    made = quantized(path, known=Ranges(known, 1, "test", ""))
    assert ops(made.path).count("QUANTIZE") == 1
    assert form(made.path, "left") == form(made.path, "both_int8")


def test_an_input_that_others_read_is_not_cut_off_for_a_join(tmp_path: Path) -> None:
    path = joined(tmp_path, also_read=True)
    known = {**ranges(path).tensors, "left": TensorRange(-9, 9), "right": TensorRange(-6, 6), "both": TensorRange(-6, 6)}
    made = quantized(path, known=Ranges(known, 1, "test", ""))
    assert form(made.path, "left")[1] == pytest.approx(18 / 255, rel=1e-6)


def test_an_input_of_a_fixed_scale_is_requantized(tmp_path: Path) -> None:
    net = Net()
    x = net.input("x", 1, 8, 8, 3)
    gate = net.op("LOGISTIC", [x], "gate", 1, 8, 8, 3)
    path = net.save(tmp_path / "net.tflite", net.op("CONCATENATION", [gate, net.conv(x, "conv", 1, 8, 8, 4)], "both", 1, 8, 8, 7, options=AXIS_3))
    made = quantized(path)
    assert form(made.path, "gate") == ("INT8", 1 / 256, -128)
    assert form(made.path, "gate_int8") == form(made.path, "conv") == form(made.path, "both_int8")
    assert sqnr_db(path, made.path) > 30


def test_inputs_of_one_fixed_scale_give_it_to_the_join(tmp_path: Path) -> None:
    net = Net()
    gates = [net.op("LOGISTIC", [net.input(name, 1, 4, 4, 3)], f"gate_{name}", 1, 4, 4, 3) for name in "xy"]
    made = quantized(net.save(tmp_path / "net.tflite", net.op("CONCATENATION", gates, "both", 1, 4, 4, 6, options=AXIS_3)))
    assert form(made.path, "both_int8") == ("INT8", 1 / 256, -128)
    assert ops(made.path).count("QUANTIZE") == 2


def test_a_constant_beside_a_fixed_scale_that_does_not_hold_it_forces_a_common_one(tmp_path: Path) -> None:
    net = Net()
    gate = net.op("LOGISTIC", [net.input("x", 1, 4, 4, 3)], "gate", 1, 4, 4, 3)
    both = net.op("CONCATENATION", [gate, net.constant("five", np.full((1, 4, 4, 1), 5, np.float32))], "both", 1, 4, 4, 4, options=AXIS_3)
    path = net.save(tmp_path / "net.tflite", both)
    made = quantized(path)
    assert form(made.path, "both_int8")[1] == pytest.approx(5 / 255, rel=1e-6)
    assert sqnr_db(path, made.path) > 30


def matmul(folder: Path, *, shift: float, also_read: bool) -> Path:
    net = Net()
    x, y = net.input("x", 1, 8, 16), net.input("y", 1, 16, 8)
    moved = net.op("ADD", [y, net.constant("shift", np.array([shift], np.float32))], "moved", 1, 16, 8, options=("AddOptions", {}))
    outputs = [net.op("BATCH_MATMUL", [x, moved], "product", 1, 8, 8, options=("BatchMatMulOptions", {}))]
    if also_read:
        outputs.append(net.op("LOGISTIC", [moved], "gate", 1, 16, 8))
    return net.save(folder / "net.tflite", *outputs)


def test_the_second_operand_of_a_matrix_product_has_zero_point_0(tmp_path: Path) -> None:
    path = matmul(tmp_path, shift=10.0, also_read=False)
    made = quantized(path)
    assert form(made.path, "moved")[2] == 0
    assert ops(made.path).count("QUANTIZE") == 2
    assert sqnr_db(path, made.path, kernels="reference") > 25


def test_a_one_sided_second_operand_that_others_read_is_requantized(tmp_path: Path) -> None:
    made = quantized(matmul(tmp_path, shift=10.0, also_read=True))
    assert form(made.path, "moved")[2] == -128
    assert form(made.path, "moved_int8")[2] == 0


def test_a_nearly_symmetric_second_operand_is_symmetric_for_all(tmp_path: Path) -> None:
    made = quantized(matmul(tmp_path, shift=0.1, also_read=True))
    assert form(made.path, "moved")[2] == 0
    assert ops(made.path).count("QUANTIZE") == 2


def test_a_fixed_scale_with_another_zero_point_is_requantized_for_a_matrix_product(tmp_path: Path) -> None:
    net = Net()
    gate = net.op("LOGISTIC", [net.input("y", 1, 16, 8)], "gate", 1, 16, 8)
    path = net.save(
        tmp_path / "net.tflite", net.op("BATCH_MATMUL", [net.input("x", 1, 8, 16), gate], "product", 1, 8, 8, options=("BatchMatMulOptions", {}))
    )
    made = quantized(path)
    assert form(made.path, "gate") == ("INT8", 1 / 256, -128)
    assert form(made.path, "gate_int8")[2] == 0


def test_both_operands_may_be_the_same_tensor(tmp_path: Path) -> None:
    net = Net()
    x = net.op("RELU", [net.input("x", 1, 8, 8)], "positive", 1, 8, 8)
    path = net.save(tmp_path / "net.tflite", net.op("BATCH_MATMUL", [x, x], "square", 1, 8, 8, options=("BatchMatMulOptions", {"adjY": True})))
    made = quantized(path)
    assert form(made.path, "positive")[2] == -128
    assert form(made.path, "positive_int8")[2] == 0
    assert sqnr_db(path, made.path) > 25


def test_a_maximum_with_zero_does_not_keep_the_range_it_cuts_off(tmp_path: Path) -> None:
    net = Net()
    conv = net.conv(net.input("x", 1, 8, 8, 3), "conv", 1, 8, 8, 4)
    positive = net.op(
        "MAXIMUM", [conv, net.constant("zero", np.array([0], np.float32))], "positive", 1, 8, 8, 4, options=("MaximumMinimumOptions", {})
    )
    path = net.save(tmp_path / "net.tflite", positive)
    made = quantized(path)
    assert form(made.path, "conv") == form(made.path, "positive_int8")
    assert form(made.path, "conv")[2] == -128
    assert sqnr_db(path, made.path) > 35


def test_a_float_value_enters_two_joins_in_two_scales(tmp_path: Path) -> None:
    net = Net()
    x = net.input("x", 1, 8, 8, 3)
    rounded = net.op("FLOOR", [x], "rounded", 1, 8, 8, 3)
    outputs = [
        net.conv(
            net.op("CONCATENATION", [rounded, net.conv(x, f"conv{n}", 1, 8, 8, 3, seed=n, scale=scale)], f"both{n}", 1, 8, 8, 6, options=AXIS_3),
            f"last{n}",
            1,
            8,
            8,
            2,
            channels=6,
        )
        for n, scale in enumerate((0.4, 4.0))
    ]
    made = quantized(net.save(tmp_path / "net.tflite", *outputs))
    assert precisions(made.ops)[0] == "float32"
    assert form(made.path, "rounded_int8") == form(made.path, "both0")
    assert form(made.path, "rounded_int8_2") == form(made.path, "both1")


def test_every_operator_asked_for_is_int8(tmp_path: Path) -> None:
    assert {outcome.precision for outcome in quantized(joined(tmp_path)).ops} == {INT8}


def test_an_output_is_never_finer_than_the_kernel_can_rescale_to(tmp_path: Path) -> None:
    path = joined(tmp_path)
    known = {**ranges(path).tensors, "left": TensorRange(0, 1e-7), "right": TensorRange(0, 1e-7), "both": TensorRange(0, 1e-7)}
    made = quantized(path, known=Ranges(known, 1, "test", ""))
    weight = tensors(made.path)["right_weight"].quantization.scale.max()
    assert form(made.path, "both_int8")[1] >= 0.99 * form(made.path, "x_int8")[1] * weight / 64
    assert np.isfinite(sqnr_db(path, made.path))  # it loads and runs


def test_a_coarser_output_makes_what_follows_coarser(tmp_path: Path) -> None:
    net = Net()
    squared = net.op("MUL", [net.input("x", 1, 64), net.input("y", 1, 64)], "first", 1, 64, options=("MulOptions", {}))
    path = net.save(tmp_path / "net.tflite", net.op("MUL", [squared, "x"], "second", 1, 64, options=("MulOptions", {})))
    known = {"x": TensorRange(-2.55, 0), "y": TensorRange(-2.55, 0), "first": TensorRange(0, 1e-9), "second": TensorRange(-1e-9, 0)}
    made = quantized(path, known=Ranges(known, 1, "test", ""), output_dtype="int8")
    assert form(made.path, "first")[1] == pytest.approx(2 * 0.01 * 0.01, rel=1e-5)
    assert form(made.path, "second")[1] == pytest.approx(2 * 2e-4 * 0.01, rel=1e-5)


def test_an_operator_between_two_tensors_of_one_scale_does_not_widen_it_for_ever(tmp_path: Path) -> None:
    net = Net()
    x = net.op("ABS", [net.input("x", 1, 4)], "size", 1, 4)
    large = net.op("MUL", [x, net.constant("factor", np.array([1e4], np.float32))], "large", 1, 4, options=("MulOptions", {}))
    path = net.save(tmp_path / "net.tflite", net.op("CONCATENATION", [x, large], "both", 1, 8, options=("ConcatenationOptions", {"axis": 1})))
    known = {name: TensorRange(0, 1) for name in ("x", "size", "large", "both")}
    made = quantized(path, known=Ranges(known, 1, "test", ""), output_dtype="int8")
    assert form(made.path, "size") == form(made.path, "both")
    type_name, scale, zero_point = form(made.path, "both")
    assert (type_name, zero_point) == ("INT8", -128)
    assert scale == pytest.approx(1 / 255)
