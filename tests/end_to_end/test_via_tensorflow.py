"""The way through TensorFlow: the file and the SavedModel that it came from, both held to onnxruntime."""

import contextlib
import json
from pathlib import Path

import numpy as np
import onnx.parser
import onnxruntime
import pytest
from ai_edge_litert import interpreter as litert

import bridge
from bridge.errors import UsageError
from bridge.files import results_folder

MODEL = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[1, 3, 8, 8] image) => (float[1, 4, 8, 8] y, float[1, 4] pooled)
{
    [conv] c = Conv<pads = [1, 1, 1, 1]>(image, w, b)
    [act] r = Relu(c)
    [deep] d = Conv<pads = [1, 1, 1, 1], group = 4>(r, k)
    [add] y = Add(d, r)
    [pool] p = GlobalAveragePool(y)
    [flat] pooled = Flatten(p)
}
"""


@pytest.mark.slow
def test_the_file_and_the_saved_model_compute_what_onnxruntime_computes(tmp_path: Path) -> None:
    with contextlib.suppress(ModuleNotFoundError):
        import torch._dynamo  # noqa: F401  # its LLVM and TensorFlow's bear each other in this order only
    tf = pytest.importorskip("tensorflow", reason="the extra `tensorflow` is not installed")
    rng = np.random.default_rng(0)
    model = onnx.parser.parse_model(MODEL)
    for name, shape in {"w": (4, 3, 3, 3), "b": (4,), "k": (4, 1, 3, 3)}.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name))
    source = tmp_path / "net.onnx"
    onnx.save(model, source)
    before = source.read_bytes()
    result = bridge.convert(source, output_dir=tmp_path / "out", precision="float32", via="tensorflow", saved_model=True, compare=False)
    assert source.read_bytes() == before
    assert "-tb tf_converter" in (tmp_path / "out" / "onnx2tf.log").read_text()
    (fed,) = result.report.inputs
    assert (fed.tflite_shape, fed.layout) == ((1, 8, 8, 3), "NHWC")
    assert result.report.coverage.mapped + result.report.coverage.explained == len(model.graph.node)
    pairs = {pair["tensor"]: pair for pair in json.loads((tmp_path / "out" / "tensor_map.json").read_text())["outputs"]}

    image = rng.standard_normal((1, 3, 8, 8)).astype(np.float32)
    expected = dict(zip(("y", "pooled"), onnxruntime.InferenceSession(source).run(None, {"image": image}), strict=True))
    runner = litert.Interpreter(str(result.artifacts["float32"]))
    runner.allocate_tensors()
    runner.set_tensor(runner.get_input_details()[0]["index"], image.transpose(0, 2, 3, 1))
    runner.invoke()
    for detail in runner.get_output_details():
        (name,) = (name for name, pair in pairs.items() if pair["tflite_tensor"] == detail["name"])
        value = runner.get_tensor(detail["index"]).transpose(pairs[name]["permutation"]).reshape(expected[name].shape)
        np.testing.assert_allclose(value, expected[name], atol=1e-4)

    copy = result.save(tmp_path / "copy")
    saved = tf.saved_model.load(str(copy / "saved_model")).signatures["serving_default"]
    (name,) = saved.structured_input_signature[1]
    outputs = [value.numpy() for value in saved(**{name: tf.constant(image.transpose(0, 2, 3, 1))}).values()]
    flat = next(value for value in outputs if value.shape == (1, 4))
    np.testing.assert_allclose(flat, expected["pooled"], atol=1e-4)


def test_a_saved_model_needs_the_way_via_tensorflow(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Only the way via TensorFlow makes a SavedModel") as caught:
        bridge.convert("net.onnx", output_dir=tmp_path / "out", saved_model=True)
    assert "--via tensorflow" in caught.value.hint


def test_without_tensorflow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BRIDGE_ONNX2TF", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "tf_keras" else object())
    with pytest.raises(UsageError, match=r"via TensorFlow needs tf_keras\.") as caught:
        bridge.convert("net.onnx", output_dir=tmp_path / "out", via="tensorflow")
    assert "uv sync --extra tensorflow" in caught.value.hint


def test_a_folder_of_an_earlier_run_is_replaced(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with results_folder(tmp_path / "out", force=True) as folder:
            (folder / "saved_model").mkdir()
            (folder / "saved_model" / name).touch()
    assert [path.name for path in (tmp_path / "out" / "saved_model").iterdir()] == ["new"]
