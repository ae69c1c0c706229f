"""A TFLite file of a stranger runs once in a process of its own before it runs in ours."""

import subprocess
import sys
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from bridge.errors import InputError, ToolError
from bridge.tflite import model as tflite
from bridge.tflite import trial


def negation(path: Path) -> Path:
    model = tflite.new_model("negation")
    graph = tflite.main_graph(model)
    x, y = (tflite.add_tensor(model, graph, name, "FLOAT32", (2, 3)) for name in ("x", "y"))
    graph.operators = [tflite.add_op(model, "NEG", 1, (x,), (y,))]
    graph.inputs, graph.outputs = np.array([x], np.int32), np.array([y], np.int32)
    path.write_bytes(tflite.serialize(model))
    return path


def test_a_sound_file_passes(tmp_path: Path) -> None:
    assert len(tflite.main_graph(trial.open_file(negation(tmp_path / "m.tflite"))).operators) == 1


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os; os.abort()", r"m\.tflite: LiteRT crashes on it \(SIGABRT\)"),
        ("import time; time.sleep(60)", r"m\.tflite: LiteRT did not end within 0\.5 s"),
    ],
)
def test_a_file_that_ends_the_process_ends_another_one(code: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "TIMEOUT_S", 0.5)
    monkeypatch.setattr(trial, "_start", lambda _path: subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL))
    with pytest.raises(ToolError, match=message):
        trial.open_file(negation(tmp_path / "m.tflite"))


def test_a_numpy_beside_the_model_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "numpy.py").write_text("open('proof', 'w')")
    monkeypatch.chdir(tmp_path)
    trial.open_file(negation(tmp_path / "m.tflite"))
    assert not (tmp_path / "proof").exists()


def test_a_flatbuffer_that_refers_to_itself_over_and_over_is_refused(tmp_path: Path) -> None:
    """Ten thousand times the same graph with ten thousand times the same tensor, in 80 kB."""
    builder, many = flatbuffers.Builder(1024), 10_000
    schema.TensorStart(builder)
    tensor = schema.TensorEnd(builder)
    tensors = _repeated(builder, tensor, many)
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, tensors)
    graph = schema.SubGraphEnd(builder)
    graphs = _repeated(builder, graph, many)
    schema.ModelStart(builder)
    schema.ModelAddSubgraphs(builder, graphs)
    builder.Finish(schema.ModelEnd(builder), tflite.FILE_IDENTIFIER)
    path = tmp_path / "bomb.tflite"
    path.write_bytes(bytes(builder.Output()))
    assert path.stat().st_size < 100_000
    with pytest.raises(InputError, match="its parts refer to each other so often"):
        trial.open_file(path)


def _repeated(builder: flatbuffers.Builder, table: int, times: int) -> int:
    builder.StartVector(4, times, 4)
    for _ in range(times):
        builder.PrependUOffsetTRelative(table)
    return int(builder.EndVector())
