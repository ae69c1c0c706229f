from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from test_outputs import Data
from two_layers import SAMPLES, Builder, converted, float_file, int8_file, onnx_model, pair, tensor_map

from bridge.compare import Compared, Comparison, OnnxRunner, candidates, compare_files
from bridge.compare.candidates import open_exposed
from bridge.compare.samples import spread
from bridge.errors import InputError, ToolError
from bridge.tflite.interpreter import Interpreter
from bridge.types import TensorPair


def test_layers_outputs_and_progress_come_together(tmp_path: Path) -> None:
    told: list[int] = []
    found = compare_files(
        OnnxRunner(onnx_model()),
        Compared(int8_file(tmp_path), float_file(tmp_path), tensor_map()),
        Data(SAMPLES),
        layer_samples=4,
        threads=2,
        progress=told.append,
    )
    assert [(row.node, row.tensor, row.status) for row in found.layers] == [("first", "h", "mapped"), ("second", "y", "mapped")]
    assert [output.name for output in found.outputs] == ["y"]
    assert sum(told) == len(SAMPLES)
    assert found.diagnostics == ()


def test_the_errors_of_layers_on_all_samples_are_those_of_the_outputs(tmp_path: Path) -> None:
    found = compare_files(
        OnnxRunner(onnx_model()),
        Compared(int8_file(tmp_path), float_file(tmp_path), tensor_map()),
        Data(SAMPLES),
        layer_samples=99,
        threads=1,
        progress=len_of,
    )
    assert found.layers[1].inherited_sqnr_db == pytest.approx(found.outputs[0].sqnr_db, abs=1e-3)
    assert found.layers[1].cosine == pytest.approx(found.outputs[0].cosine, abs=1e-6)
    assert found.layers[1].max_abs == pytest.approx(found.outputs[0].max_abs, rel=1e-4)


def len_of(steps: int) -> None:
    assert steps == 1


def test_every_pair_has_a_row_and_a_second_node_of_a_tensor_no_own_error(tmp_path: Path) -> None:
    source = converted(tmp_path)
    fused = TensorPair(node="bias", tensor="sum", status="fused", reason="part of the operator of first")
    again = replace(pair("flatten", "h", 3), tensor="h_flat")
    source = replace(source, tensor_map=replace(tensor_map(), pairs=(fused, pair("first", "h", 3), again, pair("second", "y", 2))))
    model = onnx_model()
    node = model.graph.node.add()
    node.CopyFrom(model.graph.node[0])
    node.output[0], node.name = "h_flat", "flatten"
    found = compare_files(
        OnnxRunner(model),
        Compared(int8_file(tmp_path), source.path, source.tensor_map),
        Data(SAMPLES),
        layer_samples=2,
        threads=1,
        progress=len_of,
    )
    rows = {row.node: row for row in found.layers}
    assert list(rows) == ["bias", "first", "flatten", "second"]
    assert (rows["bias"].status, rows["bias"].reason, rows["bias"].inherited_sqnr_db) == ("fused", "part of the operator of first", None)
    assert rows["flatten"].own_sqnr_db is None
    assert rows["flatten"].reason == "the same tensor as that of 'first', where the own error stands"
    assert rows["flatten"].inherited_sqnr_db == rows["first"].inherited_sqnr_db


@pytest.mark.provokes("first-divergence")
def test_a_wrong_conversion_is_the_first_divergence(tmp_path: Path) -> None:
    model = onnx_model()
    model.graph.initializer[1].raw_data = (np.frombuffer(model.graph.initializer[1].raw_data, np.float32) + np.float32(1.0)).tobytes()
    found = compare_files(
        OnnxRunner(model),
        Compared(int8_file(tmp_path), float_file(tmp_path), tensor_map()),
        Data(SAMPLES),
        layer_samples=2,
        threads=1,
        progress=len_of,
    )
    (divergence,) = [finding for finding in found.diagnostics if finding.code == "first-divergence"]
    assert divergence.node == "first"
    assert "conversion error" in divergence.message


def test_no_samples_are_refused(tmp_path: Path) -> None:
    empty = Data(SAMPLES[:0])
    with pytest.raises(InputError, match="no samples to compare on"):
        compare_files(OnnxRunner(onnx_model()), Compared(int8_file(tmp_path)), empty, threads=1, progress=len_of)


def test_any_file_is_compared_by_its_outputs_alone(tmp_path: Path) -> None:
    path = int8_file(tmp_path)
    full = compare_files(OnnxRunner(onnx_model()), Compared(path, float_file(tmp_path), tensor_map()), Data(SAMPLES), threads=1, progress=len_of)
    found = compare_files(OnnxRunner(onnx_model(), intermediates=False), Compared(path), Data(SAMPLES), threads=2, progress=len_of)
    assert found.layers == ()
    assert found.outputs == (replace(full.outputs[0], conversion_sqnr_db=None),)


@pytest.mark.parametrize("layers", [False, True])
def test_an_output_of_another_shape_than_the_file_declares_is_refused(layers: bool, tmp_path: Path) -> None:
    build = Builder()
    x, y = build.tensor("x", (1, 4)), build.tensor("y", (1, 2))
    build.op("NEG", [x], [y])  # writes [1, 4]
    path = build.save(tmp_path / "damaged.tflite", [x], [y])
    files = Compared(path, float_file(tmp_path), tensor_map()) if layers else Compared(path, tensor_map=tensor_map())
    with pytest.raises(ToolError, match=r"writes 'y' in the shape \[1, 4\] when it runs, which does not hold the values of \[1, 2\]"):
        compare_files(OnnxRunner(onnx_model()), files, Data(SAMPLES), threads=1, progress=len_of)


def test_a_tensor_map_adds_the_layers_that_the_file_has(tmp_path: Path) -> None:
    path = int8_file(tmp_path)
    lost = replace(pair("lost", "h", 3), tflite_tensor="gone")
    mapped = replace(tensor_map(), pairs=(pair("first", "h", 3), replace(lost, tensor="lost"), pair("second", "y", 2)))
    full = compare_files(OnnxRunner(onnx_model()), Compared(path, float_file(tmp_path), tensor_map()), Data(SAMPLES), threads=1, progress=len_of)
    found = compare_files(OnnxRunner(onnx_model()), Compared(path, tensor_map=mapped), Data(SAMPLES), threads=1, progress=len_of)
    first, gone, second = found.layers
    assert first.inherited_sqnr_db == full.layers[0].inherited_sqnr_db
    assert second.inherited_sqnr_db == pytest.approx(full.layers[1].inherited_sqnr_db, abs=1e-3)
    assert first.conversion_sqnr_db is first.own_sqnr_db is gone.inherited_sqnr_db is None
    assert "without the float file" in first.reason
    assert "no such tensor" in gone.reason


def test_an_equal_file_has_no_error(tmp_path: Path) -> None:
    source = converted(tmp_path)
    found = compare_files(OnnxRunner(onnx_model()), Compared(source.path), Data(SAMPLES), threads=1, progress=len_of)
    assert found.outputs[0].sqnr_db > 120
    assert found.diagnostics == ()


def test_a_comparison_that_did_not_happen_is_empty() -> None:
    assert Comparison() == Comparison((), (), ())


@pytest.mark.parametrize(("total", "count", "expected"), [(3, 5, (0, 1, 2)), (10, 5, (0, 2, 4, 6, 8)), (10, 3, (0, 3, 6)), (5, 5, (0, 1, 2, 3, 4))])
def test_layer_samples_are_spread_over_the_set(total: int, count: int, expected: tuple[int, ...]) -> None:
    assert spread(total, count) == expected


@pytest.mark.provokes("files-not-aligned")
def test_a_float_file_with_other_operators_gives_errors_end_to_end_only(tmp_path: Path) -> None:
    build = Builder()
    x, y = build.tensor("x", (1, 4)), build.tensor("y", (1, 4))
    build.op("RELU", [x], [y])
    other = build.save(tmp_path / "other.tflite", [x], [y])
    found = compare_files(OnnxRunner(onnx_model()), Compared(int8_file(tmp_path), other, tensor_map()), Data(SAMPLES), threads=1, progress=len_of)
    assert "files-not-aligned" in {finding.code for finding in found.diagnostics}
    assert all(layer.own_sqnr_db is None for layer in found.layers)


@pytest.mark.provokes("compared-without-delegate")
def test_what_the_delegate_refuses_is_compared_on_the_builtin_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = candidates._tried

    def without_delegate(interpreter: Interpreter, feeds: dict[str, np.ndarray]) -> Interpreter:
        if not refused:
            refused.append(True)
            raise ToolError("XNNPACK failed")
        return tried(interpreter, feeds)

    refused: list[bool] = []
    monkeypatch.setattr(candidates, "_tried", without_delegate)
    opened = open_exposed(float_file(tmp_path).read_bytes(), {"x": SAMPLES[0]}, what="the float file", threads=1)
    assert [finding.code for finding in opened.diagnostics] == ["compared-without-delegate"]
