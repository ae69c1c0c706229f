from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from two_layers import Builder, H, X, Y, converted, float_file, int8_file, island_file, quantized

from bridge.compare.cost import MACS, float_mac_share, measure_cost
from bridge.tflite import model as tflite
from bridge.types import OpOutcome, QuantizedModel

FIRST, SECOND = 4 * 3, 3 * 2  # multiply-accumulates of the two layers


@pytest.mark.parametrize(("float_layer", "macs"), [(0, FIRST), (1, SECOND)])
def test_the_share_is_that_of_the_float_layer(tmp_path: Path, float_layer: int, macs: int) -> None:
    model = tflite.read(island_file(tmp_path, float_layer=float_layer))
    assert float_mac_share(model) == pytest.approx(macs / (FIRST + SECOND))


def test_it_is_0_in_an_int8_file_and_1_in_a_float_file(tmp_path: Path) -> None:
    assert float_mac_share(tflite.read(int8_file(tmp_path))) == 0.0
    assert float_mac_share(tflite.read(float_file(tmp_path))) == 1.0


def dense_file(activation: str, weight: str, *, unpacked: bool) -> Builder:
    """One layer whose weights are stored in a type, and unpacked by a DEQUANTIZE or read as they are."""
    build = Builder()
    x, y = build.tensor("x", (1, 4), activation), build.tensor("y", (1, 3), activation)
    stored = build.tensor("w", (3, 4), weight)
    build.graph.tensors[stored].buffer = tflite.add_buffer(build.model, np.ones(6, np.uint8))
    if unpacked:
        read = build.tensor("w_float", (3, 4))
        build.op("DEQUANTIZE", [stored], [read], 3)
        stored = read
    build.op("FULLY_CONNECTED", [x, stored, -1], [y], 4)
    return build


@pytest.mark.parametrize(
    ("activation", "weight", "unpacked", "share"),
    [
        ("INT16", "INT8", False, 0.0),
        ("FLOAT32", "INT8", False, 0.0),  # dynamic: the kernel rounds the activations and multiplies integers
        ("FLOAT32", "INT8", True, 1.0),
        ("FLOAT32", "INT4", True, 1.0),
        ("FLOAT32", "FLOAT16", True, 1.0),
    ],
)
def test_the_arithmetic_counts_and_not_how_weights_are_stored(activation: str, weight: str, unpacked: bool, share: float) -> None:
    assert float_mac_share(dense_file(activation, weight, unpacked=unpacked).model) == share


CASES: Mapping[str, tuple[tuple[tuple[int, ...], ...], tuple[int, ...], int]] = {
    "CONV_2D": (((1, 9, 9, 3), (8, 3, 2, 3), (8,)), (1, 4, 5, 8), 4 * 5 * 8 * 3 * 2 * 3),
    "DEPTHWISE_CONV_2D": (((1, 9, 9, 4), (1, 3, 3, 8), (8,)), (1, 9, 9, 8), 9 * 9 * 8 * 3 * 3),
    "FULLY_CONNECTED": (((5, 7), (11, 7), (11,)), (5, 11), 5 * 7 * 11),
    "BATCH_MATMUL": (((2, 3, 5), (2, 5, 7)), (2, 3, 7), 2 * 3 * 5 * 7),
    "TRANSPOSE_CONV": (((4,), (6, 2, 2, 3), (1, 5, 5, 3), (6,)), (1, 10, 10, 6), 5 * 5 * 3 * 2 * 2 * 6),
    "CONV_3D": (((1, 4, 4, 4, 2), (3, 3, 3, 2, 5), (5,)), (1, 2, 2, 2, 5), 2 * 2 * 2 * 5 * 3 * 3 * 3 * 2),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (((1, 6, 4),), (1, 6, 8), 6 * 4 * 8 * (4 + 8)),
}


@pytest.mark.parametrize("name", sorted(MACS))
def test_multiply_accumulates_follow_from_the_shapes(name: str) -> None:
    inputs, output, macs = CASES[name]
    assert MACS[name](inputs, output) == macs


def test_an_absent_operand_is_no_operand(tmp_path: Path) -> None:
    build = Builder()
    x, y = build.tensor("x", (1, 4)), build.tensor("y", (1, 3))
    build.op("FULLY_CONNECTED", [x, build.constant("w", np.ones((3, 4), np.float32)), -1], [y])
    build.constant("last", np.ones(3, np.int8), 1.0)  # what index -1 would be in Python
    assert float_mac_share(build.model) == 1.0


def test_the_block_counts_what_the_files_hold(tmp_path: Path) -> None:
    path = island_file(tmp_path, float_layer=1)
    cost = measure_cost(converted(tmp_path), quantized(path, (1, 3)))
    assert (cost.quantize_ops, cost.dequantize_ops, cost.transpose_ops) == (1, 1, 0)
    assert cost.converted_elements == 4 + 3
    assert (cost.cancelling_pairs, cost.lone_float_ops) == (0, ())
    assert (cost.float_bytes, cost.quantized_bytes) == ((tmp_path / "float.tflite").stat().st_size, path.stat().st_size)
    assert cost.float_ms > 0.0
    assert cost.quantized_ms > 0.0


def lone_file(folder: Path) -> Path:
    """The two layers in int8 with a float EXP between them."""
    build = Builder()
    x8, h8 = build.tensor("x", (1, 4), "INT8", X), build.tensor("h", (1, 3), "INT8", H)
    h, e, e8, y8 = (
        build.tensor("h_float", (1, 3)),
        build.tensor("e", (1, 3)),
        build.tensor("e_int8", (1, 3), "INT8", X),
        build.tensor("y", (1, 2), "INT8", Y),
    )
    build.dense(x8, build.constant("w1", np.ones((3, 4), np.int8), 0.1), build.constant("b1", np.zeros(3, np.int32), 0.1 * X.scale), h8, 4)
    build.op("DEQUANTIZE", [h8], [h], 2)
    build.op("EXP", [h], [e])
    build.op("QUANTIZE", [e], [e8])
    build.dense(e8, build.constant("w2", np.ones((2, 3), np.int8), 0.1), build.constant("b2", np.zeros(2, np.int32), 0.1 * X.scale), y8, 4)
    return build.save(folder / "lone.tflite", [x8], [y8])


def test_a_lone_float_operator_is_listed_under_its_node_with_what_it_costs(tmp_path: Path) -> None:
    ops = tuple(
        OpOutcome(index, op, precision, "", position)
        for index, (op, precision, position) in enumerate(
            [("FULLY_CONNECTED", "static_wi8_ai8", 0), ("EXP", "float32", 2), ("FULLY_CONNECTED", "static_wi8_ai8", 4)]
        )
    )
    source = converted(tmp_path)
    source = replace(source, tensor_map=replace(source.tensor_map, owners=("first", "exp", "second")))
    cost = measure_cost(source, QuantizedModel(lone_file(tmp_path), "", "static_wi8_ai8", ops))
    (lone,) = cost.lone_float_ops
    assert (lone.node, lone.op, lone.converted_elements) == ("exp", "EXP", 6)
    assert lone.alone_ms is not None
    assert lone.alone_ms > 0.0
    assert lone.latency_share == pytest.approx(lone.alone_ms / cost.quantized_ms)
