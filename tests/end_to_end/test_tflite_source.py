"""Float TFLite files as sources; the oracles are the LiteRT interpreter and the flatbuffer."""

import contextlib
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
import pytest
from ai_edge_litert import interpreter as litert

import bridge
from bridge.cli import main
from bridge.errors import InputError, UnsupportedModelError, UsageError
from bridge.tflite import model as tflite

MODEL = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[1, 3, 8, 8] image) => (float[1, 5] scores)
{
    [conv] y = Conv<pads = [1, 1, 1, 1]>(image, w, b)
    [act] r = Relu(y)
    [pool] p = GlobalAveragePool(r)
    [flat] f = Flatten(p)
    [head] scores = Gemm<transB = 1>(f, v)
}
"""
RULE = """
schema_version = 1
[[rules]]
id = "first"
reason = "a test"
match = [{ kind = "op_type", op_types = ["CONV_2D"] }]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sources")


@pytest.fixture(scope="module")
def of_bridge(folder: Path) -> Path:
    """A float file that bridge wrote."""
    rng = np.random.default_rng(0)
    model = onnx.parser.parse_model(MODEL)
    for name, shape in {"w": (8, 3, 3, 3), "b": (8,), "v": (5, 8)}.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name))
    onnx.save(model, folder / "net.onnx")
    return bridge.convert(folder / "net.onnx", output_dir=folder / "made", compare=False, recover=()).artifacts["float32"]


@pytest.fixture(scope="module")
def net() -> Any:
    with contextlib.suppress(ModuleNotFoundError):
        import torch._dynamo  # noqa: F401  # its LLVM and TensorFlow's bear each other in this order only
    keras = pytest.importorskip("keras", reason="the extra `tensorflow` is not installed")
    pytest.importorskip("tensorflow", reason="the extra `tensorflow` is not installed")
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3, padding="same", name="stem")(image))
    x = keras.layers.Add()([keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="side")(x), x])
    return keras.Model(image, keras.layers.Dense(5, name="head")(keras.layers.GlobalAveragePooling2D()(x)))


@pytest.fixture(scope="module")
def of_converter(net: Any, folder: Path) -> Path:
    """A float file that TensorFlow's own converter wrote."""
    import tensorflow as tf

    path = folder / "keras.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(net).convert())
    return path


@pytest.fixture(scope="module")
def data(folder: Path) -> Path:
    path = folder / "data.npz"
    np.savez(path, image=np.random.default_rng(1).standard_normal((24, 8, 8, 3)).astype(np.float32))
    return path


def outputs(path: Path, samples: np.ndarray) -> np.ndarray:
    runner = litert.Interpreter(str(path))
    runner.allocate_tensors()
    rows = []
    for sample in samples:
        runner.set_tensor(runner.get_input_details()[0]["index"], sample[None])
        runner.invoke()
        rows.append(runner.get_tensor(runner.get_output_details()[0]["index"]))
    return np.concatenate(rows)


def sqnr_db(reference: np.ndarray, candidate: np.ndarray) -> float:
    return float(10 * np.log10(np.square(reference).sum() / np.square(reference - candidate).sum()))


def check(path: Path, data: Path, target: Path) -> bridge.ConversionResult:
    """Converted; the source is untouched, every tensor mapped, the figures of the report those of the interpreter."""
    before = path.read_bytes()
    samples = np.random.default_rng(2).standard_normal((8, 8, 8, 3)).astype(np.float32)
    evaluation = bridge.Calibration.from_arrays({"image": samples})
    result = bridge.convert(path, calibration=data, evaluation=evaluation, output_dir=target, threads=1, recover=())
    assert path.read_bytes() == before == result.artifacts["float32"].read_bytes()
    report = result.report
    assert (report.model.framework, report.model.sha256) == ("tflite", hashlib.sha256(before).hexdigest())
    assert report.coverage.mapped == report.coverage.nodes == len(tflite.main_graph(tflite.read(path)).operators)
    expected, received = outputs(path, samples), outputs(result.artifacts["static_wi8_ai8"], samples)
    assert sqnr_db(expected, received) == pytest.approx(report.outputs[0].sqnr_db, abs=0.01)
    assert sqnr_db(expected, received) > 15.0, "the weights are random"
    assert report.outputs[0].conversion_sqnr_db is not None
    assert report.outputs[0].conversion_sqnr_db > 100.0, "only the kernels differ"
    assert {node.precision for node in report.nodes if node.op_type in ("CONV_2D", "FULLY_CONNECTED")} == {"static_wi8_ai8"}
    return result


def test_a_file_of_bridge_is_quantized_as_it_is(of_bridge: Path, data: Path, tmp_path: Path) -> None:
    check(of_bridge, data, tmp_path / "out")


def test_a_file_of_the_tensorflow_converter_is_fed_by_the_name_in_its_signature(of_converter: Path, data: Path, tmp_path: Path) -> None:
    (fed,) = check(of_converter, data, tmp_path / "out").report.inputs
    assert (fed.name, fed.shape, fed.tflite_shape) == ("image", (1, 8, 8, 3), (1, 8, 8, 3))


def test_a_rule_names_operators_of_tflite(of_bridge: Path, data: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(RULE + 'precision = "float32"\n')
    result = bridge.convert(of_bridge, calibration=data, rules=("default", rules), output_dir=tmp_path / "out", compare=False, recover=())
    model = tflite.read(result.artifacts["static_wi8_ai8"])
    main_graph = tflite.main_graph(model)
    types = {tflite.op_name(model, op): tflite.dtype(main_graph.tensors[op.inputs[1]]) for op in main_graph.operators if len(op.inputs) > 2}
    assert types == {"CONV_2D": np.float32, "FULLY_CONNECTED": np.int8}


@pytest.mark.provokes("already-quantized")
def test_what_is_quantized_already_is_refused(of_bridge: Path, data: Path, tmp_path: Path) -> None:
    made = bridge.convert(of_bridge, calibration=data, output_dir=tmp_path / "out", compare=False, recover=()).artifacts["static_wi8_ai8"]
    with pytest.raises(InputError, match=r"static_wi8_ai8\.tflite: is quantized or float16 already: QUANTIZE writes"):
        bridge.convert(made, output_dir=tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_float16_weights_are_refused(net: Any, tmp_path: Path) -> None:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(net)
    converter.optimizations, converter.target_spec.supported_types = [tf.lite.Optimize.DEFAULT], [tf.float16]
    (tmp_path / "half.tflite").write_bytes(converter.convert())
    with pytest.raises(InputError, match=r"half\.tflite: is quantized or float16 already: DEQUANTIZE writes") as caught:
        bridge.inspect(tmp_path / "half.tflite")
    assert "optimizations" in caught.value.hint


def test_an_output_that_no_operator_writes_is_refused(of_bridge: Path, tmp_path: Path) -> None:
    model = tflite.read(of_bridge)
    main = tflite.main_graph(model)
    main.outputs = np.array([*main.outputs, main.inputs[0]], np.int32)
    path = tmp_path / "m.tflite"
    path.write_bytes(tflite.serialize(model))
    with pytest.raises(InputError, match="no operator writes the output"):
        bridge.inspect(path)


@pytest.mark.provokes("no-tflite-operator")
def test_custom_operators_are_refused_by_name(tmp_path: Path) -> None:
    model = tflite.new_model("a test")
    graph = tflite.main_graph(model)
    x, y = (tflite.add_tensor(model, graph, name, "FLOAT32", (1, 2)) for name in "xy")
    graph.operators.append(tflite.custom_op(model, "Mystery", [x], [y], {}))
    graph.inputs, graph.outputs = np.array([x], np.int32), np.array([y], np.int32)
    (tmp_path / "m.tflite").write_bytes(tflite.serialize(model))
    with pytest.raises(UnsupportedModelError, match=r"no kernel for the CUSTOM operators Mystery\.") as caught:
        bridge.inspect(tmp_path / "m.tflite")
    assert caught.value.causes == ("no-tflite-operator",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": ("y",)}, "taken as a whole, and its inputs stay. Received: y"),
        ({"signature": "serving_default"}, "needs no signature"),
        ({"input_shapes": {"image": (1, 4, 4, 3)}}, "fixed: image=1x8x8x3. Received: image=1x4x4x3"),
        ({"input_layout": "nhwc"}, "keeps the layout of its inputs"),
        ({"via": "tensorflow"}, "onnx2tf does not run"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_options_that_ask_for_another_model_are_refused(of_bridge: Path, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        bridge.convert(of_bridge, output_dir=tmp_path / "out", **options)


def test_a_rule_that_changes_the_model_is_refused(of_bridge: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(RULE + "clip = [-1.0, 1.0]\n")
    with pytest.raises(UsageError, match=r"rule 'first' \(.*rules.toml:3\) changes what the model computes"):
        bridge.convert(of_bridge, rules=(rules,), output_dir=tmp_path / "out")


def test_the_commands_take_a_tflite_file(of_bridge: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(SystemExit):
        main(["convert", str(of_bridge), "--calibration", str(data), "-o", str(tmp_path / "out"), "--no-recover", "--no-compare"])
    made = tmp_path / "out" / f"{of_bridge.stem}.static_wi8_ai8.tflite"
    capsys.readouterr()
    with contextlib.suppress(SystemExit):
        main(["compare", str(of_bridge), str(made), "--data", str(data), "--tensor-map", str(tmp_path / "out" / "tensor_map.json"), "--json"])
    assert '"scores"' in capsys.readouterr().out
    with contextlib.suppress(SystemExit):
        main(["rules", "explain", str(of_bridge)])
    assert "CONV_2D" in capsys.readouterr().out
