"""Weights of large models lie on disk once, and everybody finds them there."""

import gc
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from bridge import heap, large_weights
from bridge.compare.runners import OnnxRunner
from bridge.convert import onnx_file
from bridge.graph.source_nodes import read_only_copy

X = np.random.default_rng(0).standard_normal((1, 64)).astype(np.float32)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> onnx.ModelProto:
    """Two products, with weights of which the last one is too small to be moved."""
    monkeypatch.setattr(large_weights, "LARGE", 1 << 14)
    rng = np.random.default_rng(1)
    weights = [numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name) for name, shape in (("a", (64, 65)), ("b", (65, 3)))]
    nodes = [helper.make_node("MatMul", ["x", "a"], ["h"], name="first"), helper.make_node("MatMul", ["h", "b"], ["y"], name="last")]
    start, end = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64]), helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])
    made = helper.make_model(helper.make_graph(nodes, "g", [start], [end], weights), opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(made, {"author": "somebody"})
    return made


def values(model: onnx.ModelProto) -> list[np.ndarray]:
    return list(OnnxRunner(model).run({"x": X}).values())


def test_everybody_computes_with_the_weights_that_were_set_aside(model: onnx.ModelProto) -> None:
    light, folder = large_weights.set_aside(model)
    assert folder is not None
    assert light.ByteSize() < 2000 < model.ByteSize()
    for got, wanted in zip(values(light), values(model), strict=True):
        np.testing.assert_array_equal(got, wanted)
    graph = read_only_copy(light).graph
    for tensor in model.graph.initializer:
        constant = graph.initializers[tensor.name].const_value
        assert constant is not None
        np.testing.assert_array_equal(constant.numpy(), numpy_helper.to_array(tensor))
    whole = large_weights.brought_back(light)
    assert [tensor.raw_data for tensor in whole.graph.initializer] == [tensor.raw_data for tensor in model.graph.initializer]


def test_the_file_is_gone_when_nobody_has_the_model(model: onnx.ModelProto) -> None:
    light, folder = large_weights.set_aside(model)
    assert folder is not None
    place, runner = Path(folder.path), OnnxRunner(light)
    del folder
    gc.collect()
    runner.release()
    runner.run({"x": X})  # which opens it anew
    del runner
    gc.collect()
    assert not place.exists()
    assert large_weights.folder_of(light) is None


def test_few_weights_stay_where_they_are(model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_weights, "LARGE", 1 << 20)
    assert large_weights.set_aside(model) == (model, None)


def test_a_file_written_weight_by_weight_is_the_whole_model(model: onnx.ModelProto, tmp_path: Path) -> None:
    graph = ir.from_proto(model)
    onnx_file.save(graph, tmp_path / "parts.onnx")
    ir.save(graph, tmp_path / "whole.onnx")
    parts, whole = onnx.load(tmp_path / "parts.onnx"), onnx.load(tmp_path / "whole.onnx")
    for tensor in whole.graph.initializer:
        tensor.ClearField("doc_string")
    assert parts == whole


def test_mapped_files_read_the_same_after_their_pages_were_given_back(tmp_path: Path) -> None:
    content = np.arange(1 << 16, dtype=np.int32)
    (tmp_path / "numbers").write_bytes(content.tobytes())
    read, written = (np.memmap(tmp_path / "numbers", np.int32, mode) for mode in ("r", "r+"))
    written[7] = -1
    heap.unmap_files()
    content[7] = -1
    np.testing.assert_array_equal(read, content)
    np.testing.assert_array_equal(written, content)


def resident_kb(path: Path) -> int:
    """Of the mapping of a file, those pages that are in the memory of the process."""
    lines = Path("/proc/self/smaps").read_text().split(str(path))[1].splitlines()
    return int(next(line for line in lines if line.startswith("Rss:")).split()[1])


def test_only_files_of_ours_are_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not heap.MAPPINGS.is_file():
        pytest.skip("the system has no /proc")
    (tmp_path / "temporary").mkdir()
    paths = [tmp_path / name for name in ("data.npy", "model.tflite", "temporary/weights")]
    for path in paths:
        path.write_bytes(bytes(1 << 20))
    maps = [np.memmap(path, np.uint8, "r") for path in paths]
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    assert [int(one.sum()) for one in maps] == [0, 0, 0]
    heap.unmap_files()
    assert [resident_kb(path) > 0 for path in paths] == [True, False, False]


def test_the_data_of_large_weights_begin_at_whole_blocks(model: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "LARGE", 1 << 10)
    for length in range(1, 130):
        model.graph.node[0].name = "n" * length
        onnx_file.save(ir.from_proto(model), tmp_path / "file.onnx")
        content, read = (tmp_path / "file.onnx").read_bytes(), onnx.load(tmp_path / "file.onnx").graph
        large, small = read.initializer
        assert content.index(large.raw_data) % onnx_file.ALIGNMENT == 0
        assert (read.node[0].name, small.doc_string) == ("n" * length, "")
        assert [one.raw_data for one in read.initializer] == [one.raw_data for one in model.graph.initializer]
