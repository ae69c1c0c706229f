"""Which operators become int8, and why the others do not."""

from pathlib import Path

import numpy as np
import pytest
from nets import INT8, Net, form, ops, precisions, quantized, ranges, sqnr_db

from bridge.types import Ranges, TensorRange

FLOAT = "float32"


def two_convs(folder: Path, between: str) -> Path:
    net = Net()
    first = net.conv(net.input("x", 1, 8, 8, 3), "first", 1, 8, 8, 4)
    moved = {
        "RESHAPE": lambda: net.op(
            "RESHAPE", [first, net.constant("to", np.array([1, 4, 16, 4], np.int32))], "moved", 1, 4, 16, 4, options=("ReshapeOptions", {})
        ),
        "TRANSPOSE": lambda: net.op("TRANSPOSE", [first, net.constant("to", np.array([0, 2, 1, 3], np.int32))], "moved", 1, 8, 8, 4),
        "MAX_POOL_2D": lambda: net.op(
            "MAX_POOL_2D", [first], "moved", 1, 8, 8, 4, options=("Pool2DOptions", {"filterHeight": 1, "filterWidth": 1, "strideH": 1, "strideW": 1})
        ),
    }[between]()
    size = (1, 4, 16, 4) if between == "RESHAPE" else (1, 8, 8, 4)
    return net.save(folder / "net.tflite", net.conv(moved, "second", *size, channels=4, seed=5))


def test_everything_with_a_kernel_becomes_int8(tmp_path: Path) -> None:
    path = two_convs(tmp_path, "MAX_POOL_2D")
    made = quantized(path)
    assert precisions(made.ops) == ["int8"] * 3
    assert ops(made.path) == ["QUANTIZE", "CONV_2D", "MAX_POOL_2D", "CONV_2D", "DEQUANTIZE"]
    assert [outcome.quantized_index for outcome in made.ops] == [1, 2, 3]
    assert sqnr_db(path, made.path) > 25


def test_a_float_operator_becomes_an_island_with_one_border_on_each_side(tmp_path: Path) -> None:
    path = two_convs(tmp_path, "MAX_POOL_2D")
    made = quantized(path, INT8, FLOAT, INT8)
    assert precisions(made.ops) == ["int8", FLOAT, "int8"]
    assert ops(made.path) == ["QUANTIZE", "CONV_2D", "DEQUANTIZE", "MAX_POOL_2D", "QUANTIZE", "CONV_2D", "DEQUANTIZE"]
    assert [outcome.reason for outcome in made.ops] == ["", "", ""]


@pytest.mark.parametrize("kind", ["RESHAPE", "TRANSPOSE"])
def test_data_movement_behind_a_float_operator_is_float_whatever_was_asked(kind: str, tmp_path: Path) -> None:
    made = quantized(two_convs(tmp_path, kind), FLOAT, INT8, INT8)
    assert precisions(made.ops) == [FLOAT, FLOAT, "int8"]
    assert made.ops[1].reason == "moves data, so it stays in the type of 'first'"
    assert ops(made.path) == ["CONV_2D", kind, "QUANTIZE", "CONV_2D", "DEQUANTIZE"]


@pytest.mark.parametrize("kind", ["RESHAPE", "TRANSPOSE"])
def test_data_movement_behind_an_int8_operator_is_int8_whatever_was_asked(kind: str, tmp_path: Path) -> None:
    made = quantized(two_convs(tmp_path, kind), INT8, FLOAT, FLOAT)
    assert precisions(made.ops) == ["int8", "int8", FLOAT]
    assert ops(made.path) == ["QUANTIZE", "CONV_2D", kind, "DEQUANTIZE", "CONV_2D"]


def test_max_pool_is_no_data_movement(tmp_path: Path) -> None:
    made = quantized(two_convs(tmp_path, "MAX_POOL_2D"), INT8, FLOAT, FLOAT)
    assert precisions(made.ops) == ["int8", FLOAT, FLOAT]


def padded_input(folder: Path, *, also_float: bool) -> Path:
    net = Net()
    pads = net.constant("pads", np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))
    padded = net.op("PAD", [net.input("x", 1, 6, 6, 3), pads], "padded", 1, 8, 8, 3)
    outputs = [net.conv(padded, "conv", 1, 8, 8, 4)]
    if also_float:
        outputs.append(net.op("FLOOR", [padded], "floor", 1, 8, 8, 3))
    return net.save(folder / "net.tflite", *outputs)


def test_a_float_input_is_quantized_before_it_is_moved_if_only_int8_operators_read_it(tmp_path: Path) -> None:
    made = quantized(padded_input(tmp_path, also_float=False))
    assert ops(made.path) == ["QUANTIZE", "PAD", "CONV_2D", "DEQUANTIZE"]


def test_a_float_input_is_moved_as_float_if_a_float_operator_reads_it(tmp_path: Path) -> None:
    made = quantized(padded_input(tmp_path, also_float=True))
    assert ops(made.path) == ["PAD", "QUANTIZE", "CONV_2D", "FLOOR", "DEQUANTIZE"]
    assert made.ops[2].reason == f"no {INT8} kernel for FLOOR: LiteRT has none"


def test_an_integer_input_is_moved_as_integer(tmp_path: Path) -> None:
    made = quantized(padded_input(tmp_path, also_float=True), input_dtype="int8")
    assert ops(made.path) == ["PAD", "CONV_2D", "DEQUANTIZE", "FLOOR", "DEQUANTIZE"]


def joined(folder: Path, *, reader: bool) -> Path:
    net = Net()
    x = net.input("x", 1, 8, 8, 3)
    left, right = net.conv(x, "left", 1, 8, 8, 4), net.conv(x, "right", 1, 8, 8, 4, seed=1)
    both = net.op("CONCATENATION", [left, right], "both", 1, 8, 8, 8, options=("ConcatenationOptions", {"axis": 3}))
    return net.save(folder / "net.tflite", net.conv(both, "last", 1, 8, 8, 2, channels=8) if reader else both)


def test_joined_data_are_int8_when_all_are(tmp_path: Path) -> None:
    assert precisions(quantized(joined(tmp_path, reader=False)).ops) == ["int8"] * 3


def test_mixed_data_are_joined_as_float_where_the_float_values_are_wanted(tmp_path: Path) -> None:
    made = quantized(joined(tmp_path, reader=False), INT8, FLOAT, INT8)
    assert precisions(made.ops) == ["int8", FLOAT, FLOAT]
    assert made.ops[2].reason == "joins data, and 'right' is float"


def test_mixed_data_are_joined_as_int8_where_only_int8_operators_read_them(tmp_path: Path) -> None:
    made = quantized(joined(tmp_path, reader=True), INT8, FLOAT, INT8, INT8)
    assert precisions(made.ops) == ["int8", FLOAT, "int8", "int8"]


def test_a_join_that_shall_be_float_is_float(tmp_path: Path) -> None:
    made = quantized(joined(tmp_path, reader=True), INT8, INT8, FLOAT, INT8)
    assert precisions(made.ops) == ["int8", "int8", FLOAT, "int8"]


def test_joined_float_data_are_float(tmp_path: Path) -> None:
    made = quantized(joined(tmp_path, reader=True), FLOAT, FLOAT, INT8, INT8)
    assert precisions(made.ops) == [FLOAT, FLOAT, FLOAT, "int8"]


def test_an_operator_without_range_stays_float_and_says_so(tmp_path: Path) -> None:
    path = two_convs(tmp_path, "MAX_POOL_2D")
    known = ranges(path)
    fewer = {name: span for name, span in known.tensors.items() if name != "moved"}
    made = quantized(path, known=Ranges(fewer, 1, "test", ""))
    assert precisions(made.ops) == ["int8", FLOAT, FLOAT]
    assert made.ops[1].reason == "no calibrated range for 'moved'"


@pytest.mark.parametrize("span", [(0.0, float("inf")), (float("nan"), 1.0), (1.0, -1.0)])
def test_an_operator_with_a_senseless_range_stays_float(span: tuple[float, float], tmp_path: Path) -> None:
    path = two_convs(tmp_path, "MAX_POOL_2D")
    made = quantized(path, known=Ranges({**ranges(path).tensors, "second": TensorRange(*span)}, 1, "test", ""))
    assert precisions(made.ops) == ["int8", "int8", FLOAT]
    assert made.ops[2].reason.startswith("the calibrated range of 'second' is ")


def test_infinite_constants_stay_float(tmp_path: Path) -> None:
    net = Net()
    mask = net.constant("mask", np.array([0, -np.inf, 0, 0], np.float32))
    masked = net.op("MAXIMUM", [net.input("x", 1, 4), mask], "masked", 1, 4, options=("MaximumMinimumOptions", {}))
    made = quantized(net.save(tmp_path / "net.tflite", masked))
    assert made.ops[0].reason == "its constant 'mask' holds values that are not finite"


def test_integer_data_are_left_alone(tmp_path: Path) -> None:
    net = Net()
    ids, one = net.input("ids", 1, 4, dtype="int32"), net.constant("one", np.array([1], np.int32))
    total = net.op("ADD", [ids, one], "sum", 1, 4, options=("AddOptions", {}), dtype="int32")
    flat = net.op("RESHAPE", [total, net.constant("to", np.array([4], np.int32))], "flat", 4, options=("ReshapeOptions", {}), dtype="int32")
    made = quantized(net.save(tmp_path / "net.tflite", flat))
    assert [outcome.reason for outcome in made.ops] == ["works on int32 data"] * 2
    assert form(made.path, "flat") == ("INT32", 0.0, 0)


@pytest.mark.parametrize("position", [1, 2])
def test_weights_and_biases_computed_at_run_time_stay_float(position: int, tmp_path: Path) -> None:
    net = Net()
    operands = [net.input("x", 1, 6), net.constant("weight", np.ones((2, 6), np.float32)), net.constant("bias", np.ones(2, np.float32))]
    operands[position] = net.input("fed", 2, 6) if position == 1 else net.input("fed", 2)
    made = quantized(net.save(tmp_path / "net.tflite", net.op("FULLY_CONNECTED", operands, "y", 1, 2, options=("FullyConnectedOptions", {}))))
    assert made.ops[0].precision == FLOAT
    assert "'fed' is computed at run time" in made.ops[0].reason


@pytest.mark.parametrize(
    ("name", "rank", "precision"),
    [("MAXIMUM", 5, "int8"), ("MAXIMUM", 6, FLOAT), ("SQUARED_DIFFERENCE", 4, "int8"), ("SQUARED_DIFFERENCE", 5, FLOAT)],
)
def test_broadcasting_that_ends_the_process_on_older_runtimes_stays_float(name: str, rank: int, precision: str, tmp_path: Path) -> None:
    net = Net()
    wide = (2,) * rank
    result = net.op(name, [net.input("x", *wide), net.input("y", *wide[:-1], 1)], "z", *wide)
    made = quantized(net.save(tmp_path / "net.tflite", result))
    assert precisions(made.ops) == [precision]
    assert ("does not broadcast" in made.ops[0].reason) == (precision == FLOAT)


def test_equal_shapes_of_high_rank_are_no_broadcast(tmp_path: Path) -> None:
    net = Net()
    wide = (2,) * 6
    made = quantized(net.save(tmp_path / "net.tflite", net.op("MAXIMUM", [net.input("x", *wide), net.input("y", *wide)], "z", *wide)))
    assert precisions(made.ops) == ["int8"]
