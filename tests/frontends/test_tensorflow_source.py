import contextlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx.numpy_helper
import pytest

from bridge import frontends, graph
from bridge.compare import OnnxRunner
from bridge.errors import InputError, ToolError, UnsupportedModelError, UsageError
from bridge.types import SourceModel

with contextlib.suppress(ModuleNotFoundError):
    import torch._dynamo  # noqa: F401  # its LLVM and TensorFlow's bear each other in this order only
keras = pytest.importorskip("keras", reason="the extra `tensorflow` is not installed")
h5py = pytest.importorskip("h5py", reason="the extra `tensorflow` is not installed")
tf = pytest.importorskip("tensorflow", reason="the extra `tensorflow` is not installed")
layers = keras.layers

X = np.random.default_rng(0).standard_normal((1, 8, 8, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def net() -> Any:
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((8, 8, 3), name="image"),
            layers.Conv2D(4, 3, strides=2, activation="relu", name="stem"),
            layers.LayerNormalization(name="norm"),
            layers.Dense(4, activation="gelu", name="wide"),
            layers.GlobalAveragePooling2D(name="pool"),
            layers.Dense(3, name="head"),
        ],
        name="small",
    )


class Subclassed(keras.Model):  # type: ignore[misc, name-defined]  # keras is loaded by name
    def __init__(self) -> None:
        super().__init__(name="subclassed")
        self.flat, self.fc = layers.Flatten(), layers.Dense(2, name="only")

    def call(self, x: object, training: bool = False) -> object:
        return {"scores": self.fc(self.flat(x)), "positive": self.fc(self.flat(x)) > 0}


class OwnLayer(layers.Layer):  # type: ignore[misc, name-defined]  # keras is loaded by name
    def call(self, x: object) -> object:
        return x


def check(source: SourceModel, net: Any, name: str = "image") -> None:
    runner = OnnxRunner(source.proto)
    assert [spec.name for spec in runner.inputs] == [name]
    np.testing.assert_allclose(runner.run({name: X})[runner.outputs[0]], net(X).numpy(), atol=1e-5)
    assert source.confirm is not None
    source.confirm(runner.run)


def test_a_live_model_is_read_and_its_erfc_repaired(net: Any) -> None:
    source = frontends.load(net, input_shapes={})
    check(source, net)
    assert source.framework == "keras"
    assert {finding.code for finding in source.diagnostics} == {"illegal-operator"}


def test_rules_see_the_names_of_layers(net: Any) -> None:
    nodes = graph.normalize(frontends.load(net, input_shapes={}), input_shapes={}).nodes
    assert {("LayerNormalization", "small/norm"), ("Gelu", "small/wide/Gelu")} <= {(node.op_type, node.scope) for node in nodes}


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore")  # Keras warns that .h5 is old
def test_a_keras_file_is_read(suffix: str, net: Any, tmp_path: Path) -> None:
    net.save(tmp_path / f"net{suffix}")
    source = frontends.load(tmp_path / f"net{suffix}", input_shapes={})
    check(source, net)
    assert source.path == tmp_path / f"net{suffix}"


def test_a_saved_model_is_read_by_its_signature(net: Any, tmp_path: Path) -> None:
    net.export(tmp_path / "saved", verbose=False)
    source = frontends.load(tmp_path / "saved", input_shapes={})
    check(source, net)
    assert source.framework == "tensorflow"
    with pytest.raises(UsageError, match=r"there is no such signature. Received: 'absent'\.") as caught:
        frontends.load(tmp_path / "saved", input_shapes={}, signature="absent")
    assert "serving_default" in caught.value.hint


def test_a_function_is_read_by_its_signature_or_its_examples(net: Any) -> None:
    signed = tf.function(lambda picture: net(picture), input_signature=[tf.TensorSpec([None, 8, 8, 3], tf.float32, name="picture")])
    check(frontends.load(signed, input_shapes={}), net, "picture")
    free = tf.function(lambda picture: net(picture))
    check(frontends.load(free, input_shapes={}, example_inputs={"picture": X}), net, "picture")
    with pytest.raises(UsageError, match="without an input signature needs example inputs"):
        frontends.load(free, input_shapes={})


@pytest.mark.provokes("export-failed")
def test_captured_tensors_are_no_inputs() -> None:
    captured = tf.constant(X) * 2
    function = tf.function(lambda x: x + captured, input_signature=[tf.TensorSpec([1, 8, 8, 3], tf.float32, name="x")])
    with pytest.raises(UnsupportedModelError, match="tf2onnx made 1 tensors that the function captures inputs"):
        frontends.load(function, input_shapes={})


@pytest.mark.provokes("missing-example-inputs")
def test_a_subclassed_model_with_two_outputs_needs_an_example() -> None:
    model = Subclassed()
    with pytest.raises(UsageError, match="subclassed: a subclassed model needs example inputs"):
        frontends.load(model, input_shapes={})
    source = frontends.load(model, input_shapes={}, example_inputs=(X,))
    runner = OnnxRunner(source.proto)
    assert set(runner.outputs) == {"scores", "positive"}
    assert source.confirm is not None
    source.confirm(runner.run)


def test_what_tf2onnx_got_wrong_is_no_success(net: Any) -> None:
    source = frontends.load(net, input_shapes={})
    runner = OnnxRunner(source.proto)
    assert source.confirm is not None
    with pytest.raises(ToolError, match="small: what tf2onnx wrote computes something else than the model at output"):
        source.confirm(lambda feeds: {name: value * np.float32(1.1) for name, value in runner.run(feeds).items()})


def test_open_sizes_have_to_be_given() -> None:
    net = keras.Sequential([keras.Input((None, 4), name="series"), layers.Dense(2)], name="open")
    with pytest.raises(UsageError, match=r"open: the sizes of input 'series' are \(None, None, 4\)") as caught:
        frontends.load(net, input_shapes={})
    assert "--input series=" in caught.value.hint
    source = frontends.load(net, input_shapes={"series": (1, 7, 4)})
    assert OnnxRunner(source.proto).inputs[0].shape == (1, 7, 4)


def test_a_broken_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "net.keras").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"net\.keras: Keras cannot read it"):
        frontends.load(tmp_path / "net.keras", input_shapes={})
    (tmp_path / "saved_model.pb").write_bytes(b"nothing")
    with pytest.raises(InputError, match="TensorFlow cannot read it"):
        frontends.load(tmp_path, input_shapes={})
    with pytest.raises(InputError, match="no such file"):
        frontends.load(tmp_path / "absent.keras", input_shapes={})


def test_without_tensorflow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.keras").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    monkeypatch.delitem(sys.modules, "bridge.frontends.tensorflow_export", raising=False)
    monkeypatch.delattr(frontends, "tensorflow_export", raising=False)
    with pytest.raises(UsageError, match="reading it needs TensorFlow, Keras and tf2onnx") as caught:
        frontends.load(tmp_path / "net.keras", input_shapes={})
    assert "tflite-bridge[tensorflow]" in caught.value.hint


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15 when it writes .h5
def test_layers_that_keras_has_numbered_keep_their_numbers(tmp_path: Path) -> None:
    net = keras.Sequential(
        [keras.Input((4,)), *(layers.Dense(4, activation="relu", name=name) for name in ("dense", "dense_1", "dense_2"))], name="model"
    )
    net.save(tmp_path / "net.h5")
    proto = frontends.load(tmp_path / "net.h5", input_shapes={}).proto
    names = [node.name for node in proto.graph.node]
    assert len(set(names)) == len(names)
    matrices = {node.name.split("/")[1]: node for node in proto.graph.node if "MatMul" in node.op_type or node.op_type == "Gemm"}
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    for layer in net.layers:
        np.testing.assert_array_equal(values[matrices[layer.name].input[1]], layer.kernel.numpy())


@pytest.mark.provokes("string")
def test_text_inputs_are_refused() -> None:
    function = tf.function(tf.strings.length, input_signature=[tf.TensorSpec((4,), tf.string, name="words")])
    with pytest.raises(UnsupportedModelError, match="input 'words' is text"):
        frontends.load(function, input_shapes={})


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15 when it writes .h5
def test_a_file_of_keras_2_that_keras_3_cannot_read_names_the_way(tmp_path: Path) -> None:
    net = keras.Sequential([keras.Input((4,)), OwnLayer(name="own")])
    net.save(tmp_path / "net.h5")
    for version, hint in (("2.15.0", "tf_keras.models.load_model"), ("3.0.0", "register them with keras.saving")):
        with h5py.File(tmp_path / "net.h5", "a") as file:
            file.attrs["keras_version"] = version
        with pytest.raises(InputError, match="Unknown layer: 'OwnLayer'") as caught:
            frontends.load(tmp_path / "net.h5", input_shapes={})
        assert hint in caught.value.hint
