"""Models side by side without a conversion, and traces; the oracles are the formulas of the two layers."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from msgspec.structs import replace

import bridge
from bridge.cli import main
from bridge.convert.tensor_map_file import tensor_map_json
from bridge.errors import InputError, UsageError
from bridge.files import write_bytes

sys.path.insert(0, str(Path(__file__).parent / "compare"))
from two_layers import (
    B1,
    B2,
    SAMPLES,
    W1,
    W2,
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
    tensor_map,
)

INHERITED = decibels(second(first(SAMPLES)), real(layer_in_int8(layer_in_int8(stored(SAMPLES, X), W1, B1, X, H), W2, B2, H, Y), Y))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model as ONNX, its float and int8 files, its tensor map, data."""
    onnx.save(onnx_model(), tmp_path / "model.onnx")
    float_file(tmp_path), int8_file(tmp_path)
    write_bytes(tmp_path / "map.json", tensor_map_json(replace(tensor_map(), absorbed={}), model_sha256="").encode())
    np.savez(tmp_path / "data.npz", x=SAMPLES)
    return tmp_path


def test_two_onnx_models_are_compared_by_the_names_of_their_tensors(folder: Path) -> None:
    other = onnx_model()
    other.graph.initializer[2].raw_data = (W2 + np.float32(0.5)).tobytes()
    onnx.save(other, folder / "other.onnx")
    found = bridge.compare(folder / "model.onnx", folder / "other.onnx", data=folder / "data.npz")
    h, y = found.layers
    assert (h.node, h.inherited_sqnr_db) == ("first", float("inf"))
    expected = decibels(second(first(SAMPLES)), first(SAMPLES) @ (W2 + 0.5).T + B2)
    assert y.node == "second"
    assert y.inherited_sqnr_db == pytest.approx(expected, abs=1e-3)
    assert found.outputs[0].sqnr_db == y.inherited_sqnr_db


def test_two_tflite_files_need_no_tensor_map(folder: Path) -> None:
    found = bridge.compare(folder / "float.tflite", folder / "int8.tflite", data=folder / "data.npz", layer_samples=20)
    with_map = bridge.compare(
        folder / "model.onnx",
        folder / "int8.tflite",
        data=folder / "data.npz",
        tensor_map=folder / "map.json",
        float_file=folder / "float.tflite",
        layer_samples=20,
    )
    assert [layer.tensor for layer in found.layers] == ["h", "y"]
    assert [layer.own_sqnr_db for layer in found.layers] == [layer.own_sqnr_db for layer in with_map.layers]
    assert found.outputs[0].sqnr_db == pytest.approx(INHERITED, abs=0.02)


def test_traces_are_compared_without_running(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    float_trace = bridge.trace(folder / "model.onnx", folder / "a.npz", data=folder / "data.npz", samples=20)
    bridge.trace(folder / "int8.tflite", folder / "b.npz", data=folder / "data.npz", tensor_map=folder / "map.json", samples=20)
    with np.load(float_trace) as saved:
        np.testing.assert_allclose(saved["h"], first(SAMPLES), rtol=1e-5)
    for file in ("model.onnx", "int8.tflite", "data.npz"):
        (folder / file).unlink()
    found = bridge.compare(folder / "a.npz", folder / "b.npz")
    assert found.outputs[0].sqnr_db == pytest.approx(INHERITED, abs=0.02)
    assert [layer.tensor for layer in found.layers] == ["h", "y"]
    assert found.layers[0].worst_samples[0].sample.startswith("sample ")
    main_exit(["compare", str(folder / "a.npz"), str(folder / "b.npz")], 0)
    assert "a.npz" in capsys.readouterr().out


def test_a_trace_of_a_tflite_file_alone_has_its_names(folder: Path) -> None:
    main_exit(["trace", str(folder / "int8.tflite"), "-o", str(folder / "c.npz"), "--data", str(folder / "data.npz"), "--samples", "3"], 0)
    expected = real(layer_in_int8(stored(SAMPLES[[0, 6, 13]], X), W1, B1, X, H), H)
    with np.load(folder / "c.npz") as saved:
        np.testing.assert_allclose(saved["h"], expected, atol=H.scale * 1.01)
        assert saved["h"].dtype == np.float32


def test_what_is_no_trace_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match=r"data\.npz: is no trace"):
        bridge.compare(folder / "data.npz", folder / "data.npz")
    with pytest.raises(UsageError, match="no samples to compare on"):
        bridge.compare(folder / "model.onnx", folder / "int8.tflite")


def test_traces_of_other_samples_or_tensors_are_refused(folder: Path) -> None:
    bridge.trace(folder / "model.onnx", folder / "a.npz", data=folder / "data.npz", samples=4)
    bridge.trace(folder / "model.onnx", folder / "b.npz", data=folder / "data.npz", samples=5)
    with pytest.raises(InputError, match="Received: 4 and 5"):
        bridge.compare(folder / "a.npz", folder / "b.npz")
    arrays: dict[str, Any] = {"bridge/outputs": np.array(["q"]), "bridge/samples": np.array(list("abcd")), "q": np.zeros((4, 2))}
    np.savez(folder / "c.npz", **arrays)
    with pytest.raises(InputError, match="no tensor of the same name"):
        bridge.compare(folder / "a.npz", folder / "c.npz")


def main_exit(arguments: list[str], code: int) -> None:
    with pytest.raises(SystemExit) as done:
        main(arguments)
    assert done.value.code == code
