"""Large ONNX files are read without a copy of their weights."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from bridge import large_weights, sources
from bridge.errors import InputError
from bridge.frontends import onnx_file
from bridge.frontends.structure import refuse_nan
from bridge.frontends.weights_apart import SMALLEST, without_weights

RNG = np.random.default_rng(0)


@pytest.fixture
def model() -> onnx.ModelProto:
    """Weights that are left out, one with numbers in a field of their own, one that is small, and fields behind the graph."""
    weights = [numpy_helper.from_array(RNG.standard_normal((64, 64)).astype(np.float32), name) for name in "ab"]
    listed = helper.make_tensor("c", TensorProto.FLOAT, (64, 64), RNG.standard_normal(4096).tolist())
    small = numpy_helper.from_array(np.ones(64, np.float32), "d")
    nodes = [helper.make_node("MatMul", [f"h{place}", name], [f"h{place + 1}"]) for place, name in enumerate("abc")]
    nodes.append(helper.make_node("Add", ["h3", "d"], ["y"]))
    start, end = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 64]) for name in ("h0", "y"))
    graph = helper.make_graph(nodes, "g", [start], [end], [weights[0], small, weights[1], listed])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(made, {"author": "somebody"})
    return made


@pytest.fixture
def path(model: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(onnx_file, "LARGE", 0)
    onnx.save(model, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def test_what_is_left_out_is_what_is_missing(model: onnx.ModelProto) -> None:
    content = model.SerializeToString()
    rest = without_weights(content)
    assert rest is not None
    left = onnx.ModelProto.FromString(rest.content)
    assert list(rest.weights) == [0, 2]
    for position, (start, end) in rest.weights.items():
        assert end - start >= SMALLEST
        left.graph.initializer[position].raw_data = content[start:end]
    assert left == model


def test_files_that_are_not_as_exporters_write_them_are_left_to_protobuf(model: onnx.ModelProto) -> None:
    content = model.SerializeToString()
    joined, twice = onnx.ModelProto(), onnx.TensorProto(raw_data=bytes(SMALLEST))
    joined.graph.doc_string = "more"
    assert without_weights(content + joined.SerializeToString()) is None
    assert without_weights(b"") is None
    for length in range(1, len(content), 997):
        assert without_weights(content[:length]) is None or not onnx.ModelProto.FromString(content[:length]).HasField("graph")
    elsewhere = onnx.ModelProto.FromString(content)
    elsewhere.graph.initializer[1].data_location = TensorProto.EXTERNAL
    assert without_weights(elsewhere.SerializeToString()) is None
    tensor = twice.SerializeToString() * 2
    graph = b"\x2a" + _varint(len(tensor)) + tensor
    assert without_weights(b"\x3a" + _varint(len(graph)) + graph) is None


def _varint(value: int) -> bytes:
    return bytes([value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14])


def test_a_large_file_is_the_model_that_it_holds(path: Path, model: onnx.ModelProto) -> None:
    source = onnx_file.load(path)
    assert isinstance(source.weights, large_weights.Folder)
    assert [tensor.HasField("raw_data") for tensor in source.proto.graph.initializer] == [False, True, False, False]
    assert source.digest == sha256(path.read_bytes()).hexdigest()
    whole = large_weights.brought_back(source.proto)
    for tensor in whole.graph.initializer:
        tensor.ClearField("data_location")
    assert whole == model
    assert large_weights.set_aside(source.proto) == (source.proto, source.weights)


def test_weights_that_are_set_aside_are_looked_at(path: Path, model: onnx.ModelProto) -> None:
    source = onnx_file.load(path)
    refuse_nan(source.proto, where="model.onnx")
    values = numpy_helper.to_array(model.graph.initializer[2]).copy()
    values[3, 4] = np.nan
    model.graph.initializer[2].raw_data = values.tobytes()
    onnx.save(model, path)
    source = onnx_file.load(path)
    with pytest.raises(InputError, match="weight 'b' holds NaN, in 1 of 4096 values"):
        refuse_nan(source.proto, where="model.onnx")
    model.graph.initializer[2].raw_data = bytes(SMALLEST)
    onnx.save(model, path)
    with pytest.raises(InputError, match=r"tensor 'b' of shape \[64, 64\] needs 16384 bytes. Received: 4096."):
        onnx_file.load(path)


@pytest.mark.parametrize("kind", ["plain", "part", "constant", "function", "quantized"])
def test_whoever_needs_the_weights_has_them(path: Path, model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    if kind == "constant":
        model.graph.input.append(helper.make_tensor_value_info("d", TensorProto.FLOAT, [64]))
        del model.graph.initializer[1]
    if kind == "function":
        imports = [helper.make_opsetid("", 17)]
        model.functions.append(helper.make_function("mine", "Twice", ["x"], ["y"], [helper.make_node("Add", ["x", "x"], ["y"])], imports))
        model.opset_import.append(helper.make_opsetid("mine", 1))
        model.graph.node[3].CopyFrom(helper.make_node("Twice", ["h3"], ["y"], domain="mine"))
    if kind == "quantized":
        model.graph.initializer.append(numpy_helper.from_array(np.array(0.1, np.float32), "scale"))
        model.graph.initializer.append(numpy_helper.from_array(np.array(0, np.int8), "zero"))
        model.graph.node.insert(0, helper.make_node("QuantizeLinear", ["h0", "scale", "zero"], ["q"]))
        model.graph.node.insert(1, helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["real"]))
        model.graph.node[2].input[0] = "real"
    onnx.save(model, path)
    start, constants = (["h1"], {}) if kind == "part" else ([], {"d": np.ones(64, np.float32)} if kind == "constant" else {})
    found = []
    for large in (0, 1 << 30):
        monkeypatch.setattr(onnx_file, "LARGE", large)
        opened = sources.open_model(path, input_shapes={}, start=start, constants=constants)
        sample = {spec.name: np.linspace(-1, 1, 64, dtype=np.float32).reshape(1, 64) for spec in opened.inputs}
        reference, _ = sources.open_reference(opened.reference, [sample], threads=1)
        found.append(reference.run(sample)["y"])
    np.testing.assert_array_equal(found[0], found[1])
