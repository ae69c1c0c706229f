import math
from pathlib import Path

import numpy as np
import pytest
from test_outputs import Data
from two_layers import (
    B1,
    B2,
    BINDINGS,
    SAMPLES,
    W1,
    W2,
    H,
    X,
    Y,
    converted,
    decibels,
    first,
    float_file,
    int8_file,
    island_file,
    layer_in_int8,
    onnx_model,
    quantized,
    real,
    second,
    stored,
    tensor_map,
)  # fmt: skip

from bridge.compare import OnnxRunner
from bridge.compare.attribution import Cut, counterparts, movers
from bridge.compare.layers import Files
from bridge.compare.passes import measure_layers
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter
from bridge.types import LayerResult, OpOutcome, QuantizedModel

TOLERANCE_DB = 0.02  # one value of 60 that a kernel rounds to the other neighbour moves 30 dB by less


def layers(folder: Path, candidate: QuantizedModel, *, memory_mb: int = 4096) -> dict[str, LayerResult]:
    source = converted(folder)
    pairs = counterparts(tflite.read(source.path), tflite.read(candidate.path), candidate.ops)
    files = Files(candidate.path, source.tensor_map, source.path, pairs)
    found = measure_layers(
        OnnxRunner(onnx_model()), files, Data(SAMPLES), range(len(SAMPLES)), memory_mb=memory_mb, threads=2, progress=lambda steps: None
    )
    return {row.tensor: row for row in found.layers}


def test_own_and_inherited_errors_are_those_of_the_int8_arithmetic(tmp_path: Path) -> None:
    rows = layers(tmp_path, quantized(int8_file(tmp_path), (1, 2)))
    h, y = first(SAMPLES), second(first(SAMPLES))
    h8 = layer_in_int8(stored(SAMPLES, X), W1, B1, X, H)
    y8_alone = layer_in_int8(stored(h, H), W2, B2, H, Y)
    y8_chain = layer_in_int8(h8, W2, B2, H, Y)
    assert rows["h"].own_sqnr_db == pytest.approx(decibels(h, real(h8, H)), abs=TOLERANCE_DB)
    assert rows["h"].inherited_sqnr_db == pytest.approx(rows["h"].own_sqnr_db, abs=TOLERANCE_DB)
    assert rows["y"].own_sqnr_db == pytest.approx(decibels(y, real(y8_alone, Y)), abs=TOLERANCE_DB)
    assert rows["y"].inherited_sqnr_db == pytest.approx(decibels(y, real(y8_chain, Y)), abs=TOLERANCE_DB)
    assert abs(decibels(y, real(y8_alone, Y)) - decibels(y, real(y8_chain, Y))) > 10 * TOLERANCE_DB  # the data tell the two apart
    expected = np.sqrt(np.square(y - real(y8_alone, Y)).mean()) / Y.scale
    assert rows["y"].rmse_over_scale == pytest.approx(expected, rel=0.01)
    assert rows["y"].conversion_sqnr_db is not None
    assert rows["y"].conversion_sqnr_db > 120


def test_a_float_layer_before_the_integers_has_no_error_of_its_own(tmp_path: Path) -> None:
    rows = layers(tmp_path, quantized(island_file(tmp_path, float_layer=0), (0, 2)))
    assert rows["h"].own_sqnr_db == math.inf
    assert rows["h"].rmse_over_scale is None
    y, y8 = second(first(SAMPLES)), layer_in_int8(stored(first(SAMPLES), H), W2, B2, H, Y)
    assert rows["y"].own_sqnr_db == pytest.approx(decibels(y, real(y8, Y)), abs=TOLERANCE_DB)


def test_a_float_layer_behind_integers_answers_for_their_rounding_but_not_for_their_computation(tmp_path: Path) -> None:
    rows = layers(tmp_path, quantized(island_file(tmp_path, float_layer=1), (1, 3)))
    y, rounded = second(first(SAMPLES)), second(real(stored(first(SAMPLES), H), H))
    assert rows["y"].own_sqnr_db == pytest.approx(decibels(y, rounded), abs=TOLERANCE_DB)
    chain = second(real(layer_in_int8(stored(SAMPLES, X), W1, B1, X, H), H))
    assert rows["y"].inherited_sqnr_db == pytest.approx(decibels(y, chain), abs=TOLERANCE_DB)


def test_the_joined_file_keeps_only_what_its_outputs_need(tmp_path: Path) -> None:
    float_model, other = tflite.read(float_file(tmp_path)), tflite.read(int8_file(tmp_path))
    pairs = counterparts(float_model, other, quantized(tmp_path, (1, 2)).ops)
    assert pairs.tensors == {0: 0, 1: 3, 2: 4}
    joined = tflite.parse(Cut(float_model, other, pairs, ("first", "second")).join([1], [4]).mapped(), where="joined")
    names = [tflite.op_name(joined, op) for op in tflite.main_graph(joined).operators]
    assert names == ["FULLY_CONNECTED", "QUANTIZE", "FULLY_CONNECTED"]  # float first layer, its value in int8, int8 second layer
    h, y8 = Interpreter(tflite.serialize(joined)).run({"x": SAMPLES[0]})
    np.testing.assert_allclose(h, first(SAMPLES[0]), rtol=1e-5)
    np.testing.assert_allclose(y8, layer_in_int8(stored(h, H), W2, B2, H, Y), atol=1)  # kernels may round to either neighbour


def test_operators_of_one_node_read_each_other(tmp_path: Path) -> None:
    float_model, other = tflite.read(float_file(tmp_path)), tflite.read(int8_file(tmp_path))
    pairs = counterparts(float_model, other, quantized(tmp_path, (1, 2)).ops)
    content = Cut(float_model, other, pairs, ("both", "both")).join([], [4])
    (y8,) = Interpreter(content).run({"x": SAMPLES[0]})
    chain = layer_in_int8(layer_in_int8(stored(SAMPLES[0], X), W1, B1, X, H), W2, B2, H, Y)
    np.testing.assert_allclose(y8, chain, atol=1)


def test_a_node_that_cannot_be_cut_off_is_named(tmp_path: Path) -> None:
    float_model, other = tflite.read(float_file(tmp_path)), tflite.read(int8_file(tmp_path))
    lost = (OpOutcome(0, "FULLY_CONNECTED", "static_wi8_ai8", "", 1), OpOutcome(1, "FULLY_CONNECTED", "static_wi8_ai8", "", 2))
    pairs = counterparts(float_model, other, lost)
    cut = Cut(float_model, other, type(pairs)({0: 0, 2: 4}, pairs.ops), ("first", "second"))
    cut.join([], [4])
    assert cut.uncut == {"second"}


def test_nodes_that_only_move_data_are_told(tmp_path: Path) -> None:
    from two_layers import Builder

    build = Builder()
    x, y, z = build.tensor("x", (1, 4)), build.tensor("y", (4,)), build.tensor("z", (4,))
    shape = build.constant("shape", np.array([4], np.int32))
    build.op("RESHAPE", [x, shape], [y])
    build.op("NEG", [y], [z])
    build.save(tmp_path / "m.tflite", [x], [z])
    pairs = counterparts(build.model, build.model, [OpOutcome(index, "", "float32", "", index) for index in range(2)])
    assert movers(build.model, pairs, ("a", "b")) == {"a"}
    assert movers(build.model, pairs, ("a", "a")) == frozenset()


def test_bindings_of_the_hand_made_model_fit() -> None:
    assert tensor_map().inputs == BINDINGS
