"""TensorFlow's FakeQuant operators on the way in, and what they become; TensorFlow and onnxruntime are the oracles."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bridge
from bridge import frontends
from bridge.compare import OnnxRunner
from bridge.frontends.fake_quant import nudged
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter

with contextlib.suppress(ModuleNotFoundError):
    import torch._dynamo  # noqa: F401  # its LLVM and TensorFlow's bear each other in this order only
keras = pytest.importorskip("keras", reason="the extra `tensorflow` is not installed")
tf = pytest.importorskip("tensorflow", reason="the extra `tensorflow` is not installed")
layers = keras.layers
RNG = np.random.default_rng(0)
RANGES = {"in": (-2.0, 2.5), "conv": (0.0, 3.0), "pool": (0.0, 3.0), "out": (-4.0, 3.0)}


class FakeQuant(layers.Layer):  # type: ignore[misc, name-defined]  # keras is loaded by name
    def __init__(self, low: float, high: float, narrow: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.low, self.high, self.narrow = low, high, narrow

    def call(self, x: Any) -> Any:
        return tf.quantization.fake_quant_with_min_max_vars(x, self.low, self.high, narrow_range=self.narrow)


def per_channel(kernel: Any) -> Any:
    most = tf.reduce_max(tf.abs(kernel), axis=list(range(len(kernel.shape) - 1)))
    return tf.quantization.fake_quant_with_min_max_vars_per_channel(kernel, -most, most, narrow_range=True)


class Conv(layers.Conv2D):  # type: ignore[misc, name-defined]
    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        return super().convolution_op(inputs, per_channel(kernel))


class Dense(layers.Dense):  # type: ignore[misc, name-defined]
    def call(self, inputs: Any, training: Any = None) -> Any:
        return tf.matmul(inputs, per_channel(self.kernel)) + self.bias


def net(narrow: bool) -> Any:
    keras.utils.set_random_seed(0)
    steps = {name: FakeQuant(*span, narrow, name=f"quant_{name}") for name, span in RANGES.items()}
    x = image = keras.Input((8, 8, 3), name="image")
    x = steps["in"](x)
    x = steps["conv"](Conv(8, 3, activation="relu", name="conv")(x))
    x = steps["pool"](layers.MaxPooling2D(name="pool")(x))
    x = steps["out"](Dense(10, name="dense")(layers.Flatten(name="flat")(x)))
    return keras.Model(image, x, name="net")


def converted(model: Any, folder: Path) -> Path:
    calibration = bridge.Calibration.from_arrays({"image": RNG.standard_normal((8, 8, 8, 3)).astype(np.float32)})
    result = bridge.convert(model, calibration=calibration, output_dir=folder, threads=1)
    return Path(result.artifacts["static_wi8_ai8"])


@pytest.mark.filterwarnings("ignore")
def test_a_model_with_fake_quant_gets_integer_kernels_with_its_scales(tmp_path: Path) -> None:
    model = net(narrow=False)
    path = converted(model, tmp_path)
    file = tflite.read(path)
    graph = tflite.main_graph(file)
    names = [tflite.op_name(file, op) for op in graph.operators]
    floating = [name for name, op in zip(names, graph.operators, strict=True) if tflite.dtype(graph.tensors[op.outputs[0]]) == np.float32]
    assert floating == ["DEQUANTIZE"]
    assert set(names) == {"QUANTIZE", "CONV_2D", "MAX_POOL_2D", "RESHAPE", "FULLY_CONNECTED", "DEQUANTIZE"}
    alone = [np.float32(one.quantization.scale[0]) for one in graph.tensors if one.quantization is not None and np.size(one.quantization.scale) == 1]
    assert {nudged(*span, 0, 255)[0] for span in RANGES.values()} <= set(alone)
    low, high = RANGES["out"]
    scale = nudged(low, high, 0, 255)[0]
    runner, candidate = OnnxRunner(frontends.load(model, input_shapes={}).proto), Interpreter(path, threads=1)
    samples = RNG.standard_normal((150, 1, 8, 8, 3)).astype(np.float32)
    expected = np.stack([runner.run({"image": x})[runner.outputs[0]] for x in samples])
    received = np.stack([candidate.run({candidate.inputs[0].name: x})[0] for x in samples])
    steps = np.abs(received - expected) / scale
    assert np.ptp(expected) > 20 * scale
    assert np.mean(steps < 1.01) >= 0.999


@pytest.mark.parametrize(
    ("low", "high", "bits", "narrow"), [(-2.0, 2.5, 8, True), (0.0, 3.0, 8, True), (-1.0, 1.5, 4, False), (-1.3, 0.7, 4, True), (-2.0, 0.5, 8, False)]
)
def test_it_computes_what_tensorflow_computes(low: float, high: float, bits: int, narrow: bool) -> None:
    x = np.linspace(1.5 * low - 1, 1.5 * high + 1, 4001, dtype=np.float32)

    def rounded(x: Any) -> Any:
        return tf.quantization.fake_quant_with_min_max_vars(x, low, high, num_bits=bits, narrow_range=narrow)

    proto = frontends.load(tf.function(rounded), input_shapes={}, example_inputs=(x,)).proto
    clip = [] if (bits, narrow) == (8, False) else ["Clip"]
    assert [node.op_type for node in proto.graph.node] == [*clip, "QuantizeLinear", "DequantizeLinear"]
    runner = OnnxRunner(proto)
    expected, received = rounded(x).numpy(), runner.run({"input": x})[runner.outputs[0]]
    scale = nudged(low, high, int(narrow), 2**bits - 1)[0]
    np.testing.assert_allclose(received, expected, atol=1.01 * scale)  # ties round to even here, up there
    assert np.mean(np.abs(received - expected) < 1e-5) > 0.97
