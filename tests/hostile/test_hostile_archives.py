"""Pickles, code and bombs in `.npz`, `.npy`, `.pt2`, TorchScript and `.keras` files, through the command line."""

import io
import json
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import door
import numpy as np
import pytest
from door import Refused

fixture = door.refusal  # pytest finds it by its name, `refused`

MODEL = Path(__file__).parents[2] / "models" / "digits_cnn_bn_silu" / "model.onnx"


class Payload:
    """Unpickled, it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.write_text, (self.path, "was here")


@pytest.mark.parametrize("name", ["data.npz", "data.npy"])
def test_objects_in_arrays_are_not_unpickled(name: str, tmp_path: Path, refused: Refused) -> None:
    array = np.array([Payload(tmp_path / "proof")], object)
    np.savez(tmp_path / name, x=array) if name == "data.npz" else np.save(tmp_path / name, array)
    assert "Python objects" in refused("trace", MODEL, "--data", tmp_path / name, "-o", tmp_path / "trace.npz")


def test_an_array_that_unpacks_to_gigabytes_is_not_unpacked(tmp_path: Path, refused: Refused) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (3 << 28, 1, 8, 8)})
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("image.npy", "w", force_zip64=True) as member:
        member.write(header.getvalue() + bytes(1 << 20))  # the rest is promised
    assert "the file says" in refused("trace", MODEL, "--data", tmp_path / "bomb.npz", "-o", tmp_path / "trace.npz")


def rewritten(source: Path, target: Path, replaced: Mapping[str, bytes]) -> Path:
    """A zip archive with other content in some members, or with further members."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            if info.filename not in replaced:
                new.writestr(zipfile.ZipInfo(info.filename), old.read(info))
        for name, content in replaced.items():
            new.writestr(name, content)
    return target


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")
    path = tmp_path_factory.mktemp("program") / "net.pt2"
    torch.export.save(torch.export.export(torch.nn.Linear(4, 4).eval(), (torch.ones(1, 4),)), path)
    return path


@pytest.mark.parametrize("kind", ["pickle", "torch.save"])
def test_samples_in_a_program_are_not_unpickled(kind: str, program: Path, tmp_path: Path, refused: Refused) -> None:
    import torch

    payload, buffer = Payload(tmp_path / "proof"), io.BytesIO()
    torch.save(payload, buffer)
    content = pickle.dumps(payload) if kind == "pickle" else buffer.getvalue()
    path = rewritten(program, tmp_path / "net.pt2", {"net/data/sample_inputs/model.pt": content})
    assert "pickled Python objects, which are never loaded" in refused("inspect", path)


@pytest.mark.parametrize("name", ["data/constants/opaque_obj_0", "data/constants/custom_obj_0", "data/aotinductor/model/net.so", "../../net.json"])
def test_a_program_with_more_than_a_program_is_refused(name: str, program: Path, tmp_path: Path, refused: Refused) -> None:
    path = rewritten(program, tmp_path / "net.pt2", {f"net/{name}": pickle.dumps(Payload(tmp_path / "proof"))})
    assert "no part of a program that only computes" in refused("inspect", path)


CALL = "__import__('pathlib').Path('proof').write_text('was here')"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"guards_code": []', f'"guards_code": ["{CALL}"]', "the guard"),
        ('"sizes": [{"as_int": 1}', f'"sizes": [{{"as_expr": {{"expr_str": "{CALL}", "hint": null}}}}', "the size"),
        ('{"as_tensor": {"name": "input"}}', f'{{"as_tensor": {{"name": "x={CALL}"}}}}', "a value called"),
        ("torch.ops.aten.linear.default", "torch.os.system", "the operator"),
        ("torch.ops.aten.linear.default", "torch.ops.aten.from_file.default", "the operator"),
    ],
)
def test_code_in_the_texts_of_a_program_does_not_run(old: str, new: str, message: str, program: Path, tmp_path: Path, refused: Refused) -> None:
    with zipfile.ZipFile(program) as archive:
        text = archive.read("net/models/model.json").decode()
    assert old in text
    changed = text.replace(old, new)
    json.loads(changed)
    path = rewritten(program, tmp_path / "net.pt2", {"net/models/model.json": changed.encode()})
    assert f"its program has {message}" in refused("inspect", path)


@pytest.mark.filterwarnings("ignore:.torch.jit")
def test_a_program_that_writes_files_is_not_run(tmp_path: Path, refused: Refused) -> None:
    torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")
    net = torch.jit.ScriptModule()
    net.define(f"def forward(self, x: Tensor) -> Tensor:\n    torch.save(x, '{tmp_path / 'proof'}')\n    return x + 1\n")
    net.save(str(tmp_path / "net.pt"))
    assert "reads or writes files (aten::save)" in refused("inspect", tmp_path / "net.pt", "--input", "x=1x4")


@pytest.mark.slow
def test_a_saved_model_that_writes_files_is_not_loaded(tmp_path: Path, refused: Refused) -> None:
    tf = pytest.importorskip("tensorflow", reason="the extra `tensorflow` is not installed")

    def write(x: object) -> object:
        with tf.control_dependencies([tf.io.write_file(str(tmp_path / "proof"), "was here")]):
            return tf.identity(x)

    module = tf.Module()
    module.call = tf.function(write, input_signature=[tf.TensorSpec([1, 4], tf.float32, name="x")])
    tf.saved_model.save(module, str(tmp_path / "net"), signatures=module.call)
    assert "its graph holds WriteFile" in refused("inspect", tmp_path / "net")


@pytest.mark.provokes("code-in-file")
@pytest.mark.filterwarnings("ignore")  # of Keras when it saves
@pytest.mark.parametrize("name", ["net.keras", "net.h5"])
@pytest.mark.parametrize("nested", [False, True])
def test_the_code_of_a_lambda_layer_is_not_run(name: str, nested: bool, tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorflow", reason="the extra `tensorflow` is not installed")
    import keras

    monkeypatch.chdir(tmp_path)
    payload = keras.layers.Lambda(lambda x: (__import__("pathlib").Path("proof").write_text("was here"), x)[1], name="payload")
    inside = keras.Sequential([keras.Input((4,)), payload])
    net = keras.Sequential([keras.Input((4,)), inside]) if nested else inside
    net.save(tmp_path / name)
    (tmp_path / "proof").unlink()
    assert "holds Python code, which is never run: 'payload' (Lambda)" in refused("inspect", tmp_path / name)


@pytest.mark.parametrize("nested", [False, True])
def test_the_code_of_a_lambda_layer_of_keras_2_is_not_run(nested: bool, tmp_path: Path, refused: Refused) -> None:
    pytest.importorskip("tensorflow", reason="the extra `tensorflow` is not installed")
    import h5py

    config = {"name": "payload", "function": ["4wEAAAA=", None, None], "function_type": "lambda", "output_shape_type": "raw"}
    net = {"class_name": "Sequential", "config": {"name": "net", "layers": [{"class_name": "Lambda", "config": config}]}}
    if nested:
        net = {"class_name": "Sequential", "config": {"name": "outer", "layers": [net]}}
    with h5py.File(tmp_path / "net.h5", "w") as file:
        file.attrs["model_config"], file.attrs["keras_version"] = json.dumps(net), "2.15.0"
    assert "holds Python code, which is never run: 'payload' (Lambda)" in refused("inspect", tmp_path / "net.h5")


def bomb(path: Path, *names: str) -> Path:
    """An archive of some kilobytes that says it holds gigabytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, bytes(64 << 20))
    content = bytearray(path.read_bytes())
    at = content.find(b"PK\x01\x02")
    while at >= 0:  # sizes in the central directory
        content[at + 24 : at + 28] = (0xFFFFFFF0).to_bytes(4, "little")
        at = content.find(b"PK\x01\x02", at + 4)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", ["net.pt2", "net.pt", "net.keras"])
def test_an_archive_that_unpacks_to_gigabytes_is_refused(name: str, tmp_path: Path, refused: Refused) -> None:
    pytest.importorskip("torch" if name != "net.keras" else "tensorflow", reason="an extra is not installed")
    path = bomb(tmp_path / name, "net/code/x.py", "net/models/model.json")
    assert "would unpack to 8.0 GiB" in refused("inspect", path)


def test_a_keras_description_that_unpacks_to_hundreds_of_megabytes_is_not_read(tmp_path: Path, refused: Refused) -> None:
    pytest.importorskip("tensorflow", reason="the extra `tensorflow` is not installed")
    with zipfile.ZipFile(tmp_path / "net.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", bytes(257 << 20))
    assert "'config.json' would unpack to 257 MiB" in refused("inspect", tmp_path / "net.keras")


def test_a_member_whose_name_is_no_text_is_refused(tmp_path: Path, refused: Refused) -> None:
    pytest.importorskip("torch", reason="the extra `torch` is not installed")
    with zipfile.ZipFile(tmp_path / "net.pt", "w") as archive:
        archive.writestr("net/code/é.py", b"")
    damaged = (tmp_path / "net.pt").read_bytes().replace("é".encode(), b"\xb5\xb5")
    (tmp_path / "net.pt").write_bytes(damaged)
    assert "is no readable archive" in refused("inspect", tmp_path / "net.pt")


def test_an_hdf5_file_that_the_library_never_ends_on_is_refused(tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorflow", reason="the extra `tensorflow` is not installed")
    import h5py

    from bridge.frontends import hdf5_trial

    monkeypatch.setattr(hdf5_trial, "TIMEOUT_S", 4.0)
    with h5py.File(tmp_path / "net.h5", "w") as file:
        file.attrs["model_config"] = "{}"
    content = bytearray((tmp_path / "net.h5").read_bytes())
    # The first object of the global heap, which holds the long texts, has a length that leads back to it (HDF5 file format, III.E).
    at = content.find(b"GCOL")
    content[at + 24 : at + 32] = (2**64 - 16).to_bytes(8, "little")
    (tmp_path / "net.h5").write_bytes(content)
    assert "the HDF5 library did not come to an end" in refused("inspect", tmp_path / "net.h5")


def test_an_hdf5_file_that_could_not_be_tried_is_refused(tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorflow", reason="the extra `tensorflow` is not installed")
    import h5py

    from bridge import own_process

    with h5py.File(tmp_path / "net.h5", "w") as file:
        file.attrs["model_config"] = "{}"
    monkeypatch.setattr(own_process, "started", lambda *_: subprocess.Popen((sys.executable, "-c", "raise SystemExit(3)")))
    assert "the process that tries it ended with exit code 3" in refused("inspect", tmp_path / "net.h5")


@pytest.mark.parametrize(("name", "package"), [("net.pt", "torch"), ("net.pt2", "torch"), ("net.keras", "tensorflow")])
def test_an_archive_that_says_it_goes_on_on_another_disk_is_refused(name: str, package: str, tmp_path: Path, refused: Refused) -> None:
    pytest.importorskip(package, reason="an extra is not installed")
    end_of_archive, elsewhere = b"PK\5\6" + bytes(18), b"PK\6\7" + bytes(12) + (2).to_bytes(4, "little")
    (tmp_path / name).write_bytes(elsewhere + end_of_archive)
    assert "span multiple disks" in refused("inspect", tmp_path / name)


def test_a_keras_description_that_is_no_text_is_refused(tmp_path: Path, refused: Refused) -> None:
    pytest.importorskip("tensorflow", reason="the extra `tensorflow` is not installed")
    import h5py

    with h5py.File(tmp_path / "net.h5", "w") as file:
        file.attrs["model_config"] = np.arange(3)
    assert "Keras cannot read it" in refused("inspect", tmp_path / "net.h5")
