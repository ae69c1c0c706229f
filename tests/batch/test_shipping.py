"""A job for a machine that does not have its files: called here, with files taken away between packing and converting."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bridge import frontends
from bridge.batch.jobs import Job
from bridge.batch.shipping import Missing, Parcel, Returned, convert_there, pack
from bridge.errors import UsageError
from bridge.report import read_report

MODEL = Path(__file__).parents[2] / "models" / "digits_cnn_bn_silu"
QUICK = {"compare": False, "recover": ()}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copy(MODEL / "model.onnx", tmp_path / "net.onnx")
    shutil.copy(MODEL / "calibration.npz", tmp_path / "calib.npz")
    return tmp_path


def test_files_that_are_not_there_are_asked_for_and_the_report_names_those_that_are_here(folder: Path) -> None:
    job = Job("net", Path("net.onnx"), QUICK | {"calibration": str(folder / "calib.npz")})
    parcel = pack(job)
    asked = parcel.with_contents((str(folder / "calib.npz"),))
    (folder / "net.onnx").rename(folder / "elsewhere.onnx")
    (folder / "calib.npz").unlink()
    assert convert_there(asked) == Missing((str(folder / "net.onnx"),))
    (folder / "elsewhere.onnx").rename(folder / "net.onnx")
    returned = convert_there(asked)
    assert isinstance(returned, Returned)
    row = returned.unpack(folder / "out", force=False)
    assert (row.exit_code, row.model) == (0, "net.onnx")
    report = read_report(folder / "out" / "report.json")
    assert report.model.path == "net.onnx"
    assert report.calibration.source == str(folder / "calib.npz")
    for name in ("report.html", "report.md", "junit.xml", "report.json", "ranges.json"):
        assert returned.tree not in (folder / "out" / name).read_text()
    assert (folder / "out" / "net.static_wi8_ai8.tflite").stat().st_size == report.cost.quantized_bytes


def test_a_file_that_is_another_one_there_is_asked_for(folder: Path) -> None:
    parcel = pack(Job("net", Path("net.onnx"), QUICK))
    (folder / "net.onnx").write_bytes(b"another")
    assert convert_there(parcel) == Missing((str(folder / "net.onnx"),))


def test_what_fails_there_is_said_in_paths_of_here(folder: Path) -> None:
    (folder / "net.onnx").write_bytes(b"no model")
    returned = convert_there(pack(Job("net", folder / "net.onnx", QUICK)))
    assert isinstance(returned, Returned)
    row = returned.unpack(folder / "out", force=False)
    assert (row.exit_code, row.model) == (2, str(folder / "net.onnx"))
    assert row.error.startswith(f"{folder / 'net.onnx'}: is not an ONNX model")


def test_files_are_those_of_the_model_its_data_its_rules_and_its_modules(folder: Path) -> None:
    (folder / "data.py").write_text("")
    (folder / "pictures" / "cat").mkdir(parents=True)
    (folder / "pictures" / "cat" / "1.png").write_bytes(b"")
    (folder / "mine.toml").write_text("")
    options = {"calibration": "data.py:samples", "evaluation": "pictures", "rules": ("default", "mine.toml"), "metrics": ("data:score",), "seed": 3}
    job = Job("net", Path("net.onnx"), options, custom_ops=("data",))
    assert sorted(pack(job).digests) == [str(folder / name) for name in ("data.py", "mine.toml", "net.onnx", "pictures/cat/1.png")]


def test_external_data_belongs_to_the_model_unless_it_lies_outside_its_folder(tmp_path: Path) -> None:
    weight = onnx.numpy_helper.from_array(np.ones((64, 64), np.float32), "w")
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 64]) for name in "xy"]
    model = helper.make_model(helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", values[:1], values[1:], [weight]))
    path = tmp_path / "zoo" / "m.onnx"
    path.parent.mkdir()
    onnx.save(model, path, save_as_external_data=True, location="m.data", size_threshold=0)
    assert frontends.files(path) == (path, path.parent / "m.data")
    hostile = onnx.load(path, load_external_data=False)
    (tmp_path / "secret").write_bytes(b"0" * 64 * 64 * 4)
    for entry in hostile.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = "../secret"
    path.write_bytes(hostile.SerializeToString())
    assert frontends.files(path) == (path,)


def test_another_version_of_bridge_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="A Dask worker has bridge"):
        convert_there(Parcel(Job("net", Path("net.onnx"), QUICK), str(folder), "0.0.0", {}))
