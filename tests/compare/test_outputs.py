import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from two_layers import (
    B1,
    B2,
    BINDINGS,
    SAMPLES,
    W1,
    W2,
    Builder,
    H,
    X,
    Y,
    decibels,
    first,
    float_file,
    int8_file,
    layer_in_int8,
    onnx_model,
    real,
    second,
    stored,
)

from bridge.compare import OnnxRunner
from bridge.compare.outputs import OutputPair, candidate, compare_outputs
from bridge.types import Diagnostic, InputBinding, OutputResult

SCORES = OutputPair("y", (1, 2), 0, (0, 1))
EXPECTED = second(first(SAMPLES))[:, 0]  # [20, 2]
QUANTIZED = real(layer_in_int8(layer_in_int8(stored(SAMPLES, X), W1, B1, X, H), W2, B2, H, Y), Y)[:, 0]


class Data:
    """Samples in memory."""

    def __init__(self, values: np.ndarray, labels: np.ndarray | None = None, name: str = "x") -> None:
        self.values, self.labels, self.name = values, labels, name

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, position: int) -> dict[str, np.ndarray]:
        return {self.name: self.values[position]}

    def name_of(self, position: int) -> str:
        return f"sample {position}"


def compare(folder: Path, data: Data, *, threads: int = 2, files: Sequence[str] = ("float", "int8")) -> tuple[OutputResult, tuple[Diagnostic, ...]]:
    paths = {"float": float_file, "int8": int8_file}
    candidates = [candidate(paths[name](folder), BINDINGS) for name in files]
    told: list[int] = []
    runner = OnnxRunner(onnx_model()).outputs_only(threads=1)
    (result,), diagnostics = compare_outputs(runner, candidates, [SCORES], data, threads=threads, progress=told.append)
    assert sum(told) == len(data)
    return result, diagnostics


def test_errors_are_over_all_samples(tmp_path: Path) -> None:
    result, diagnostics = compare(tmp_path, Data(SAMPLES))
    assert result.sqnr_db == pytest.approx(decibels(EXPECTED, QUANTIZED), abs=0.02)
    assert result.max_abs == pytest.approx(np.abs(EXPECTED - QUANTIZED).max(), abs=1e-5)
    assert result.cosine == pytest.approx((EXPECTED * QUANTIZED).sum() / np.linalg.norm(EXPECTED) / np.linalg.norm(QUANTIZED), abs=1e-6)
    assert result.conversion_sqnr_db is not None
    assert result.conversion_sqnr_db > 120
    assert diagnostics == ()


def test_the_first_file_runs_on_64_samples_spread_evenly(tmp_path: Path) -> None:
    many = np.concatenate([SAMPLES * factor for factor in np.linspace(0.2, 1, 5, dtype=np.float32)])
    expected = second(first(many))[:, 0]
    found = real(layer_in_int8(layer_in_int8(stored(many, X), W1, B1, X, H), W2, B2, H, Y), Y)[:, 0]
    result, _ = compare(tmp_path, Data(many), files=("int8", "int8"))
    spread = [place * 100 // 64 for place in range(64)]
    assert len(many) == 100
    assert result.sqnr_db == pytest.approx(decibels(expected, found), abs=0.02)
    assert result.conversion_sqnr_db == pytest.approx(decibels(expected[spread], found[spread]), abs=0.02)
    assert abs(decibels(expected, found) - decibels(expected[spread], found[spread])) > 0.05


@pytest.mark.parametrize("threads", [1, 3])
def test_the_result_does_not_depend_on_threads(tmp_path: Path, threads: int) -> None:
    assert compare(tmp_path, Data(SAMPLES), threads=threads) == compare(tmp_path, Data(SAMPLES), threads=2)


def test_top1_agreement_needs_no_labels_and_accuracies_do(tmp_path: Path) -> None:
    labels = EXPECTED.argmax(-1)
    labels[:5] = 1 - labels[:5]  # the float model is wrong on five
    agreement = float((EXPECTED.argmax(-1) == QUANTIZED.argmax(-1)).mean())
    without, _ = compare(tmp_path, Data(SAMPLES))
    assert (without.top1_agreement, without.top1_float, without.top1_quantized) == (agreement, None, None)
    result, _ = compare(tmp_path, Data(SAMPLES, labels))
    assert result.top1_agreement == agreement
    assert result.top1_float == 0.75
    assert result.top1_quantized == float((QUANTIZED.argmax(-1) == labels).mean())


@pytest.mark.provokes("labels-out-of-range")
def test_labels_that_the_output_has_no_score_for_are_said(tmp_path: Path) -> None:
    result, (found,) = compare(tmp_path, Data(SAMPLES, np.arange(20)))
    assert (found.code, found.severity) == ("labels-out-of-range", "warning")
    assert "has 2 scores, the labels go from 0 to 19" in found.message
    assert result.top1_float is None


def test_one_file_alone_has_no_conversion_error(tmp_path: Path) -> None:
    result, _ = compare(tmp_path, Data(SAMPLES), files=("int8",))
    assert result.conversion_sqnr_db is None
    assert result.sqnr_db == pytest.approx(decibels(EXPECTED, QUANTIZED), abs=0.02)


@pytest.mark.parametrize(("shape", "scores"), [((1, 2), True), ((7,), True), ((1, 1), False), ((2, 5), False), ((1, 4, 4), False), ((), False)])
def test_class_scores_are_one_row(shape: tuple[int, ...], scores: bool) -> None:
    assert OutputPair("y", shape, 0, tuple(range(len(shape)))).class_scores is scores


def test_an_output_in_another_layout_is_compared_in_that_of_onnx(tmp_path: Path) -> None:
    node = helper.make_node("Neg", ["x"], ["y"])
    values = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, 4, 5]) for name in ("x", "y")]
    proto = helper.make_model(helper.make_graph([node], "g", values[:1], values[1:]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    build = Builder()
    x, y = build.tensor("x", (1, 4, 5, 3)), build.tensor("y", (1, 4, 5, 3))
    build.op("NEG", [x], [y])
    path = build.save(tmp_path / "m.tflite", [x], [y])
    binding = InputBinding("x", "x", (1, 3, 4, 5), (0, 2, 3, 1), "float32")
    data = Data(np.random.default_rng(0).standard_normal((3, 1, 3, 4, 5)).astype(np.float32))
    pair = OutputPair("y", (1, 3, 4, 5), 0, (0, 3, 1, 2))
    (result,), _ = compare_outputs(OnnxRunner(proto), [candidate(path, [binding])], [pair], data, threads=1, progress=lambda steps: None)
    assert result.sqnr_db == math.inf


@pytest.mark.provokes("non-finite-output")
def test_an_output_that_is_not_finite_is_an_error(tmp_path: Path) -> None:
    node = helper.make_node("Neg", ["x"], ["y"])
    values = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 2]) for name in ("x", "y")]
    proto = helper.make_model(helper.make_graph([node], "g", values[:1], values[1:]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    build = Builder()
    x, y = build.tensor("x", (1, 2)), build.tensor("y", (1, 2))
    build.op("LOG", [x], [y])
    path = build.save(tmp_path / "m.tflite", [x], [y])
    data = Data(np.array([[[1.0, 2.0]], [[-1.0, 2.0]]], np.float32))
    binding = InputBinding("x", "x", (1, 2), (0, 1), "float32")
    (result,), (found,) = compare_outputs(OnnxRunner(proto), [candidate(path, [binding])], [SCORES], data, threads=1, progress=lambda steps: None)
    assert (found.code, found.severity) == ("non-finite-output", "error")
    assert "in 1 of 2 samples" in found.message
    assert result.sqnr_db == -math.inf
