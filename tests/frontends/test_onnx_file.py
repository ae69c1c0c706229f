"""Reading ONNX files: what is refused, in which words, and what is repaired."""

import hashlib
import importlib
import math
import os
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest
from onnx import TensorProto, numpy_helper

from bridge.errors import InputError
from bridge.frontends import illegal_ops, onnx_file, weights_apart

MODEL = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[2, 3] x) => (float[2, 3] y) {
    y = Relu(x)
}
"""
WITH_WEIGHT = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[4] x) => (float[4] y)
<float[4] w>
{
    y = Add(x, w)
}
"""


@pytest.fixture(autouse=True, params=["small", "large"])
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large files are read in another way, and everything is said of them that is said of small ones."""
    monkeypatch.setattr(onnx_file, "LARGE", 0 if request.param == "large" else onnx_file.LARGE)
    monkeypatch.setattr(weights_apart, "SMALLEST", 1)


def write(folder: Path, text: str = MODEL) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(onnx.parser.parse_model(text).SerializeToString())
    return path


def write_external(folder: Path, location: str, *, offset: int = 0, length: int = 16) -> Path:
    """A model whose weight [4] lies outside the file, at `location`; nothing is written there."""
    model = onnx.parser.parse_model(WITH_WEIGHT.replace("<float[4] w>\n", ""))
    weight = model.graph.initializer.add()
    weight.name, weight.data_type = "w", TensorProto.FLOAT
    weight.dims.append(4)
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(length))):
        weight.external_data.add(key=key, value=value)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_a_model_is_read_with_the_digest_of_its_file(tmp_path: Path) -> None:
    path = write(tmp_path)
    source = onnx_file.load(path)
    assert [node.op_type for node in source.proto.graph.node] == ["Relu"]
    assert source.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert source.path == path
    assert source.diagnostics == ()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.onnx: there is no such file") as caught:
        onnx_file.load(tmp_path / "nothing.onnx")
    assert caught.value.exit_code == 2
    assert caught.value.hint


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder, not an ONNX file"):
        onnx_file.load(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"hello, this is a text file\n", b"\x89PNG\r\n\x1a\n" + bytes(64), b"\x00" * 100], ids=["empty", "text", "png", "zeros"]
)
def test_another_kind_of_file_is_no_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is not an ONNX model"):
        onnx_file.load(path)


@pytest.mark.provokes("model-unreadable")
def test_a_cut_off_file_is_refused_wherever_it_is_cut(tmp_path: Path) -> None:
    path = write(tmp_path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="is not an ONNX model"):
            onnx_file.load(path)


def test_a_file_without_permission_to_read_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        onnx_file.load(path)


def test_external_data_is_read_and_counts_in_the_digest(tmp_path: Path) -> None:
    path = write_external(tmp_path, "weights.bin", offset=4)
    data = tmp_path / "weights.bin"
    data.write_bytes(np.arange(5, dtype=np.float32).tobytes())
    first = onnx_file.load(path)
    assert numpy_helper.to_array(first.proto.graph.initializer[0]).tolist() == [1, 2, 3, 4]
    data.write_bytes(np.arange(1, 6, dtype=np.float32).tobytes())
    assert onnx_file.load(path).digest != first.digest


def test_external_data_may_lie_in_a_folder_below(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "weights.bin").write_bytes(bytes(16))
    assert len(onnx_file.load(write_external(tmp_path, "below/weights.bin")).proto.graph.initializer[0].raw_data) == 16


@pytest.mark.parametrize("case", ["parent", "absolute", "symlink", "symlinked folder", "hard link", "missing", "folder"])
def test_external_data_outside_the_folder_is_refused(tmp_path: Path, case: str) -> None:
    folder, outside = tmp_path / "models", tmp_path / "secret.bin"
    folder.mkdir()
    outside.write_bytes(bytes(16))
    (folder / "link").symlink_to(outside)
    (folder / "away").symlink_to(tmp_path, target_is_directory=True)
    (folder / "hard").hardlink_to(outside)
    locations = {
        "parent": "../secret.bin",
        "absolute": str(outside),
        "symlink": "link",
        "symlinked folder": "away/secret.bin",
        "hard link": "hard",
        "missing": "missing.bin",
        "folder": ".",
    }
    with pytest.raises(InputError, match=r"external data .* of tensor 'w' cannot be read") as caught:
        onnx_file.load(write_external(folder, locations[case]))
    assert "model's folder" in caught.value.hint


@pytest.mark.parametrize(("offset", "length"), [(8, 16), (1 << 40, 16), (0, 1 << 40), (-1, 16)])
def test_external_data_beyond_its_file_is_refused(tmp_path: Path, offset: int, length: int) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(16))
    with pytest.raises(InputError, match="cannot be read"):
        onnx_file.load(write_external(tmp_path, "weights.bin", offset=offset, length=length))


@pytest.mark.parametrize("length", [8, 20])
def test_a_weight_with_too_few_or_too_many_bytes_is_refused(tmp_path: Path, length: int) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(20))
    with pytest.raises(InputError, match=rf"tensor 'w' .* needs 16 bytes.*Received: {length}"):
        onnx_file.load(write_external(tmp_path, "weights.bin", length=length))


def test_the_file_is_only_read(tmp_path: Path) -> None:
    path = write_external(tmp_path, "weights.bin")
    (tmp_path / "weights.bin").write_bytes(bytes(16))
    before = {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in tmp_path.iterdir()}
    onnx_file.load(path)
    assert {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in tmp_path.iterdir()} == before


@pytest.mark.provokes("illegal-operator")
def test_erfc_becomes_one_minus_erf_under_its_own_name(tmp_path: Path) -> None:
    text = """
<ir_version: 7, opset_import: ["" : 13]>
g (float[5] x) => (float[5] y, float[5] z) {
    y = Erfc(x)
    n = Neg(x)
    z = Erfc(n)
}
"""
    model = onnx.parser.parse_model(text)
    model.graph.node[0].name = "gelu/Erfc"
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    source = onnx_file.load(path)
    assert [(node.name, node.op_type) for node in source.proto.graph.node] == [("gelu/Erfc", "Erfc"), ("", "Neg"), ("", "Erfc")]
    assert [(found.code, found.node) for found in source.diagnostics] == [("illegal-operator", "gelu/Erfc")]
    assert "2 times" in source.diagnostics[0].message
    session = ort.InferenceSession(source.proto.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.array([-3, -0.5, 0, 0.5, 3], np.float32)
    y, z = session.run(None, {"x": x})
    # float32 rounding of 1 - erf, whose terms are at most 2
    assert y == pytest.approx([math.erfc(value) for value in x], abs=4e-7)
    assert z == pytest.approx([math.erfc(-value) for value in x], abs=4e-7)


def test_expm1_becomes_an_exponential_less_one(tmp_path: Path) -> None:
    model = onnx.parser.parse_model('<ir_version: 8, opset_import: ["" : 17]> g (float[3] x) => (float[3] y) { y = Expm1(x) }')
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    session = ort.InferenceSession(onnx_file.load(path).proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": np.array([-2, 0, 1.5], np.float32)})
    assert y == pytest.approx([math.expm1(value) for value in (-2, 0, 1.5)], abs=4e-7)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("y = Relu(missing)", r"node 'Relu_0' reads 'missing', which neither"),
        ("t = Relu(x) y = Relu(t) t = Neg(x)", r"node 'Neg_2' writes 't', which exists already"),
        ("t = Relu(x)", r"nothing writes the output 'y'"),
        ("y = Relu(t) t = Neg(x)", r"node 'Relu_0' reads 't'"),
    ],
)
def test_a_graph_that_cannot_be_followed_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        onnx_file.load(write(tmp_path, MODEL.replace("y = Relu(x)", text)))


@pytest.mark.provokes("model-invalid")
def test_a_branch_may_read_what_lies_around_it(tmp_path: Path) -> None:
    text = """
<ir_version: 8, opset_import: ["" : 17]>
g (bool c, float[2] x) => (float[2] y) {
    t = Relu(x)
    y = If(c) <then_branch = a () => (float[2] p) { p = Neg(t) }, else_branch = b () => (float[2] q) { q = Abs(x) }>
}
"""
    assert len(onnx_file.load(write(tmp_path, text)).proto.graph.node) == 2
    with pytest.raises(InputError, match="reads 'u'"):
        onnx_file.load(write(tmp_path, text.replace("Neg(t)", "Neg(u)")))


@pytest.mark.parametrize("version", [0, 9999])
def test_an_opset_nobody_knows_is_refused(tmp_path: Path, version: int) -> None:
    with pytest.raises(InputError, match=f"opset {version}"):
        onnx_file.load(write(tmp_path, MODEL.replace('"" : 17', f'"" : {version}')))


def test_a_tensor_of_unknown_type_or_negative_size_is_refused(tmp_path: Path) -> None:
    path = write_external(tmp_path, "weights.bin")
    model = onnx.load_model(path, load_external_data=False)
    weight = model.graph.initializer[0]
    weight.ClearField("external_data")
    weight.ClearField("data_location")
    weight.dims[0] = -4
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=r"tensor 'w' has a negative size\. Received: \[-4\]"):
        onnx_file.load(path)
    weight.data_type = 99
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=r"no data type that ONNX knows\. Received: 99"):
        onnx_file.load(path)


def test_a_function_called_erfc_of_another_domain_is_left_alone(tmp_path: Path) -> None:
    text = """
<ir_version: 8, opset_import: ["" : 17, "mine" : 1]>
g (float[5] x) => (float[5] y) {
    y = mine.Erfc(x)
}
<domain: "mine", opset_import: ["" : 17]>
Erfc (x) => (y) {
    y = Neg(x)
}
"""
    source = onnx_file.load(write(tmp_path, text))
    assert source.diagnostics == ()
    assert [function.domain for function in source.proto.functions] == ["mine"]


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, MODEL.replace("y = Relu(x)", "[somename] y = Relu(x)"))
    path.write_bytes(path.read_bytes().replace(b"somename", b"some\xff\xfe\xfdx"))
    with pytest.raises(InputError, match="has a name that is no text"):
        onnx_file.load(path)


def test_the_graph_stage_inlines_the_repair_under_the_name_of_the_call() -> None:
    assert illegal_ops.DOMAIN == importlib.import_module("bridge.graph.local_functions").REPAIR_DOMAIN


def test_a_split_without_sizes_gets_the_number_of_its_outputs(tmp_path: Path) -> None:
    text = '<ir_version: 8, opset_import: ["" : 18]> g (float[2, 6] x) => (float[2, 3] a, float[2, 3] b) { [cut] a, b = Split<axis = 1>(x) }'
    path = tmp_path / "model.onnx"
    path.write_bytes(onnx.parser.parse_model(text).SerializeToString())
    source = onnx_file.load(path)
    (found,) = source.diagnostics
    assert (found.code, found.node) == ("illegal-operator", "cut")
    assert "neither sizes nor num_outputs" in found.message
    session = ort.InferenceSession(source.proto.SerializeToString(), providers=["CPUExecutionProvider"])
    assert [part.shape for part in session.run(None, {"x": np.zeros((2, 6), np.float32)})] == [(2, 3), (2, 3)]


def test_a_split_with_sizes_stays_as_it_is(tmp_path: Path) -> None:
    text = '<ir_version: 8, opset_import: ["" : 18]> g (float[2, 6] x) => (float[2, 2] a, float[2, 4] b) <int64[2] s = {2, 4}> { a, b = Split<axis = 1>(x, s) }'
    path = tmp_path / "model.onnx"
    path.write_bytes(onnx.parser.parse_model(text).SerializeToString())
    assert onnx_file.load(path).diagnostics == ()
