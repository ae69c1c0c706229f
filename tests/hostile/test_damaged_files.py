"""Files of every kind that are cut off or have a few bits flipped, through the command line: a refusal is one sentence, and every file stays as it was."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from door import check_sentence, code_of, state

from bridge.tflite import model as tflite

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "models" / "digits_cnn_bn_silu" / "model.onnx"
REPORT = ROOT / "tests" / "snapshots" / "report.json"


def onnx_file(folder: Path) -> tuple[Path, list[object]]:
    path = Path(shutil.copy(MODEL, folder / "model.onnx"))
    return path, ["inspect", path]


def tflite_file(folder: Path) -> tuple[Path, list[object]]:
    model = tflite.new_model("a sum and a Relu")
    graph = tflite.main_graph(model)
    weight = tflite.add_tensor(model, graph, "w", "FLOAT32", (4,), buffer=tflite.add_buffer(model, np.ones(4, np.float32)))
    x, total, y = (tflite.add_tensor(model, graph, name, "FLOAT32", (1, 4)) for name in ("x", "total", "y"))
    graph.operators = [tflite.add_op(model, "ADD", 1, (x, weight), (total,)), tflite.add_op(model, "RELU", 1, (total,), (y,))]
    graph.inputs, graph.outputs = np.array([x], np.int32), np.array([y], np.int32)
    (folder / "model.tflite").write_bytes(tflite.serialize(model))
    return folder / "model.tflite", ["inspect", folder / "model.tflite"]


def npz_file(folder: Path) -> tuple[Path, list[object]]:
    np.savez(folder / "data.npz", image=np.zeros((2, 1, 16, 16), np.float32))
    return folder / "data.npz", ["trace", MODEL, "--data", folder / "data.npz", "-o", folder / "trace.npz", "--threads", "1"]


def toml_file(folder: Path) -> tuple[Path, list[object]]:
    path = Path(shutil.copy(ROOT / "exclusion_rules" / "first-layers.toml", folder / "rules.toml"))
    return path, ["inspect", MODEL, "--rules", path]


def report_file(folder: Path) -> tuple[Path, list[object]]:
    path = Path(shutil.copy(REPORT, folder / "report.json"))
    return path, ["report", "render", path, "--format", "markdown"]


KINDS: tuple[Callable[[Path], tuple[Path, list[object]]], ...] = (onnx_file, tflite_file, npz_file, toml_file, report_file)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__name__))
@pytest.mark.parametrize("damage", ["cut off", "bits flipped"])
def test_a_damaged_file_ends_in_an_answer_or_one_sentence(
    kind: Callable[[Path], tuple[Path, list[object]]], damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, command = kind(tmp_path)
    sound, chance, codes = path.read_bytes(), random.Random(1), set()
    for share in (0.0, 0.1, 0.5, 0.9):
        changed = bytearray(sound[: int(share * len(sound))] if damage == "cut off" else sound)
        for _ in range(3 if damage == "bits flipped" else 0):
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        path.write_bytes(bytes(changed))
        before = state(tmp_path)
        code = code_of(*command)
        if code == 0:
            (tmp_path / "trace.npz").unlink(missing_ok=True)
        assert state(tmp_path) == before
        if code:
            assert code in (2, 3, 4)
            check_sentence(capsys.readouterr().err)
        codes.add(code)
    assert damage != "cut off" or codes & {2, 3}
