"""Quantization-aware training of Keras models: the file's integers against the Keras model, by the LiteRT interpreter."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ai_edge_litert.interpreter as litert
import numpy as np
import pytest

with contextlib.suppress(ModuleNotFoundError):
    import torch._dynamo  # noqa: F401  # its LLVM and TensorFlow's bear each other in this order only
keras = pytest.importorskip("keras", reason="the extra `tensorflow` is not installed")
tf = pytest.importorskip("tensorflow", reason="the extra `tensorflow` is not installed")

from bridge import qat  # noqa: E402  # behind the skip, as the frameworks
from bridge.errors import UsageError  # noqa: E402
from bridge.tflite import model as tflite  # noqa: E402

layers = keras.layers
pytestmark = pytest.mark.filterwarnings("ignore")
STEPS = 1.01  # the step, and what float32 makes of a multiple of it


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def cnn() -> Any:
    """Conv-BN-ReLU, a residual Conv-BN, a padded depthwise convolution, poolings, Dense; moving statistics as after training."""
    keras.utils.set_random_seed(0)
    x = image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="c1")(x)
    x = shortcut = layers.ReLU(name="r1")(layers.BatchNormalization(name="b1")(x))
    x = layers.BatchNormalization(name="b2")(layers.Conv2D(8, 3, padding="same", name="c2")(x))
    x = layers.ReLU(name="r2")(x + shortcut)
    x = layers.DepthwiseConv2D(3, 2, activation="relu6", name="dw")(layers.ZeroPadding2D(1, name="pad")(x))
    x = layers.Dropout(0.1)(layers.MaxPooling2D(2, name="pool")(x))
    model = keras.Model(image, layers.Dense(10, name="fc")(layers.Flatten()(x)), name="cnn")
    for place, name in enumerate(("b1", "b2")):
        rng = np.random.default_rng(place)
        model.get_layer(name).set_weights([rng.uniform(0.5, 1.5, 8), rng.normal(size=8), rng.normal(size=8), rng.uniform(0.5, 2, 8)])
    return model


@keras.saving.register_keras_serializable("tests")
class Gate(layers.Layer):  # type: ignore[misc, name-defined]  # keras is loaded by name
    """A custom activation: x * sigmoid(x), in raw TensorFlow."""

    def call(self, x: Any) -> Any:
        return x * tf.sigmoid(x)


@keras.saving.register_keras_serializable("tests")
class Gated(layers.Layer):  # type: ignore[misc, name-defined]
    """A custom layer with a weight of its own and layers inside: Dense, activation, then a product with the weight."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.inside, self.gate = layers.Dense(12, name="inside"), Gate(name="gate")

    def build(self, shape: Any) -> None:
        self.inside.build(shape)
        self.mix = self.add_weight(name="mix", shape=(12, 12))

    def call(self, x: Any) -> Any:
        return tf.matmul(self.gate(self.inside(x)), self.mix)


@keras.saving.register_keras_serializable("tests")
class Attention(layers.Layer):  # type: ignore[misc, name-defined]
    """One head."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.parts = [layers.Dense(16, name=name) for name in ("query", "key", "value")]

    def call(self, x: Any) -> Any:
        query, key, value = (one(x) for one in self.parts)
        scores = tf.matmul(query, key, transpose_b=True) * 0.25
        return keras.ops.matmul(keras.ops.softmax(scores), value)


@qat.handler(Gate)
def _gate(_: Any) -> qat.Places:
    return qat.Places(inner=("sigmoid", "mul"))


@qat.handler(Gated)
def _gated(_: Any) -> qat.Places:
    return qat.Places(weights={"mix": 1})


@qat.handler(Attention)
def _attention(_: Any) -> qat.Places:
    return qat.Places(inner=("matmul", "mul", "softmax"))


def transformer() -> Any:
    keras.utils.set_random_seed(0)
    x = tokens = keras.Input((6, 16), name="tokens")
    x = layers.Add(name="sum1")([x, Attention(name="attention")(layers.LayerNormalization(name="norm1")(x))])
    y = layers.Dense(32, activation="gelu", name="up")(layers.LayerNormalization(name="norm2")(x))
    x = layers.Add(name="sum2")([x, layers.Dense(16, name="down")(y)])
    return keras.Model(tokens, layers.Dense(5, name="head")(layers.GlobalAveragePooling1D(name="mean")(x)), name="block")


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):  # type: ignore[misc, name-defined]
    """A subclassed model with a model inside."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.stem = keras.Sequential([layers.Dense(12, activation="relu", name="first"), layers.Dense(12, name="second")], name="stem")
        self.gated, self.head = Gated(name="gated"), layers.Dense(5, name="head")

    def call(self, x: Any) -> Any:
        return self.head(self.gated(self.stem(x)))


def trained(model: Any, x: np.ndarray, **options: Any) -> Any:
    prepared = qat.prepare(model, (x,), **options)
    prepared.compile(keras.optimizers.SGD(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    prepared.fit(x, np.arange(len(x)) % 5, batch_size=16, epochs=2, verbose=0)
    qat.freeze(prepared)
    return prepared


@pytest.fixture(scope="module")
def plain_cnn() -> tuple[Any, np.ndarray, Any]:
    """A float model, what it gave before it was prepared, and the trained copy; tests may train the copy further."""
    x, model = normal(64, 8, 8, 3), cnn()
    before = np.asarray(model(x))
    return model, before, trained(model, x, rules=("all-int8",))


def converted(prepared: Any, folder: Path) -> Path:
    result = qat.convert(prepared, output_dir=folder, threads=1, compare=False)
    return Path(result.artifacts["static_wi8_ai8"])


def outputs(path: Path, samples: np.ndarray) -> tuple[np.ndarray, list[str]]:
    runner = litert.Interpreter(model_path=str(path), num_threads=1)
    runner.allocate_tensors()
    found = []
    for sample in samples:
        runner.set_tensor(runner.get_input_details()[0]["index"], sample[None])
        runner.invoke()
        found.append(runner.get_tensor(runner.get_output_details()[0]["index"])[0].copy())
    return np.stack(found), [op["op_name"] for op in runner._get_ops_details() if op["op_name"] != "DELEGATE"]


def close(prepared: Any, received: np.ndarray, samples: np.ndarray) -> float:
    """Share of the outputs within one step of those of the Keras model."""
    expected = np.asarray(prepared(samples))
    step = np.min(np.diff(np.unique(expected.round(6))))
    assert np.ptp(expected) > 20 * step
    return float(np.mean(np.abs(received - expected) <= STEPS * step))


def stored(path: Path) -> Mapping[str, list[float]]:
    """Scales in the file, by tensor."""
    graph = tflite.main_graph(tflite.read(path))
    return {
        tflite.text(one.name): list(one.quantization.scale)
        for one in graph.tensors
        if one.quantization is not None and one.quantization.scale is not None
    }


@pytest.mark.parametrize("options", [{}, {"per_channel": False, "ranges": "learned"}, {"weight_bits": 4, "symmetric": True}], ids=str)
def test_trained_cnn_equals_its_int8_file_within_one_step(options: dict[str, Any], tmp_path: Path) -> None:
    x = normal(64, 8, 8, 3)
    prepared = trained(cnn(), x, rules=("all-int8",), **options)
    path = converted(prepared, tmp_path)
    samples = normal(200, 8, 8, 3)
    received, operators = outputs(path, samples)
    assert close(prepared, received, samples) >= 0.999
    assert operators.count("DEQUANTIZE") == 1  # at the end: nothing inside is float
    assert operators.count("CONV_2D") == 2
    found = stored(path).values()
    for quantizer in prepared.quantizers:
        assert [np.float32(quantizer.scale())] in [list(map(np.float32, scales)) for scales in found]
    weight = prepared.model.get_layer("fc").get_weights()[0]
    most = np.float32(2 ** (options.get("weight_bits", 8) - 1) - 1)
    scales = np.abs(weight).max(0 if options.get("per_channel", True) else None) / most
    assert any(np.array_equal(np.broadcast_to(scales, 10), np.asarray(one, np.float32)) for one in found)


def test_subclassed_model_with_custom_layers_equals_its_int8_file_and_loads(tmp_path: Path) -> None:
    x = normal(64, 16)
    prepared = trained(Subclassed(name="sub"), x, rules=("all-int8",))
    path = converted(prepared, tmp_path / "own")
    received, operators = outputs(path, x)
    assert close(prepared, received, x) >= 0.999
    assert operators.count("FULLY_CONNECTED") == 5
    assert operators.count("DEQUANTIZE") == 1
    assert "LOGISTIC" in operators
    prepared.save(tmp_path / "trained.keras")
    loaded = keras.saving.load_model(tmp_path / "trained.keras")
    np.testing.assert_array_equal(np.asarray(loaded(x)), np.asarray(prepared(x)))
    assert converted(loaded, tmp_path / "loaded").read_bytes() == path.read_bytes()


def test_attention_block_is_integer_but_for_what_rules_leave_float(tmp_path: Path) -> None:
    x = normal(64, 6, 16)
    prepared = trained(transformer(), x, rules=("default",))
    path = converted(prepared, tmp_path)
    received, operators = outputs(path, x)
    assert close(prepared, received, x) >= 0.999
    file = tflite.read(path)
    graph = tflite.main_graph(file)
    kinds = {
        name: {tflite.dtype(graph.tensors[op.outputs[0]]).name for op in graph.operators if tflite.op_name(file, op) == name} for name in operators
    }
    assert kinds["FULLY_CONNECTED"] == kinds["BATCH_MATMUL"] == kinds["SOFTMAX"] == {"int8"}
    assert kinds["GELU"] == {"float32"}


def test_rules_by_layer_name_leave_it_float(tmp_path: Path) -> None:
    rule = tmp_path / "mine.toml"
    rule.write_text(
        'schema_version = 1\n[[rules]]\nid = "dw"\nreason = "r"\nmatch = [{ kind = "layer", names = ["dw"] }]\nprecision = "float32"\n',
        encoding="utf-8",
    )
    prepared = trained(cnn(), normal(64, 8, 8, 3), rules=("all-int8", rule))
    path = converted(prepared, tmp_path / "out")
    samples = normal(100, 8, 8, 3)
    received, _ = outputs(path, samples)
    assert close(prepared, received, samples) >= 0.999
    file = tflite.read(path)
    graph = tflite.main_graph(file)
    kernels = [op for op in graph.operators if tflite.op_name(file, op) == "DEPTHWISE_CONV_2D"]
    assert [tflite.dtype(graph.tensors[op.outputs[0]]).name for op in kernels] == ["float32"]


def test_weights_bring_the_ranges_along(plain_cnn: tuple[Any, np.ndarray, Any], tmp_path: Path) -> None:
    x, prepared = normal(64, 8, 8, 3), plain_cnn[2]
    prepared.save_weights(tmp_path / "trained.weights.h5")
    again = qat.prepare(cnn(), (0.1 * x,), rules=("all-int8",))
    again.load_weights(tmp_path / "trained.weights.h5")
    np.testing.assert_array_equal(np.asarray(again(x)), np.asarray(prepared(x)))


def test_frozen_ranges_stay_and_the_users_model_is_left_alone(plain_cnn: tuple[Any, np.ndarray, Any]) -> None:
    x, (model, before, prepared) = normal(64, 8, 8, 3), plain_cnn
    ranges = [float(one.maximum) for one in prepared.quantizers]
    prepared.fit(5 * x, np.arange(64) % 5, verbose=0)
    assert [float(one.maximum) for one in prepared.quantizers] == ranges
    np.testing.assert_array_equal(np.asarray(model(x)), before)
    assert not np.array_equal(prepared.model.get_layer("fc").get_weights()[0], model.get_layer("fc").get_weights()[0])


def test_what_cannot_be_prepared_is_refused() -> None:
    image = keras.Input((4,))
    with pytest.raises(UsageError, match="no layer of the model becomes an integer one"):
        qat.prepare(keras.Model(image, layers.LayerNormalization()(image)), np.zeros((2, 4), np.float32))
    with pytest.raises(UsageError, match="it is not a model that bridge"):
        qat.convert(keras.Model(image, layers.Dense(3)(image)))
    with pytest.raises(UsageError, match="needs example inputs"):
        qat.prepare(Subclassed())
