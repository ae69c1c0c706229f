"""Two fully connected layers as ONNX, as a float and as an int8 TFLite file, and the int8 arithmetic by hand."""

from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import onnx
from onnx import helper, numpy_helper

from bridge.compare.forms import Form
from bridge.files import write_bytes
from bridge.tflite import model as tflite
from bridge.types import ConvertedModel, InputBinding, OpOutcome, QuantizedModel, TensorMap, TensorPair

RNG = np.random.default_rng(3)
W1, B1 = RNG.standard_normal((3, 4)).astype(np.float32), RNG.standard_normal(3).astype(np.float32)
W2, B2 = RNG.standard_normal((2, 3)).astype(np.float32), RNG.standard_normal(2).astype(np.float32)
X, H, Y = Form(0.15, -5), Form(0.07, 11), Form(0.09, 3)  # forms of the activations
SAMPLES = RNG.standard_normal((20, 1, 4)).astype(np.float32)


def first(x: np.ndarray) -> np.ndarray:
    return np.asarray(x @ W1.T + B1)


def second(h: np.ndarray) -> np.ndarray:
    return np.asarray(h @ W2.T + B2)


def weights_in_int8(weights: np.ndarray, bias: np.ndarray, form: Form) -> tuple[np.ndarray, float, np.ndarray]:
    """int8 weights, their scale, int32 bias at scale input * weights."""
    scale = float(np.float32(np.abs(weights).max() / 127))
    return np.rint(weights / scale).astype(np.int8), scale, np.rint(bias / (form.scale * scale)).astype(np.int32)


def stored(real: np.ndarray, form: Form) -> np.ndarray:
    return np.asarray(np.clip(np.rint(real / form.scale) + form.zero_point, -128, 127))


def layer_in_int8(stored_input: np.ndarray, weights: np.ndarray, bias: np.ndarray, form: Form, output: Form) -> np.ndarray:
    """Integers that a FULLY_CONNECTED writes, after the TFLite quantization specification."""
    integers, scale, offset = weights_in_int8(weights, bias, form)
    sums = (stored_input - form.zero_point) @ integers.T.astype(np.float64) + offset
    return stored(sums * form.scale * scale, output)


def real(values: np.ndarray, form: Form) -> np.ndarray:
    return (values - form.zero_point) * form.scale


def decibels(reference: np.ndarray, candidate: np.ndarray) -> float:
    return float(10 * np.log10(np.square(reference.astype(np.float64)).sum() / np.square(reference.astype(np.float64) - candidate).sum()))


def onnx_model() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"], "first", transB=1),
        helper.make_node("Gemm", ["h", "w2", "b2"], ["y"], "second", transB=1),
    ]
    inputs = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 4])]
    outputs = [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 2])]
    constants = [numpy_helper.from_array(value, name) for name, value in (("w1", W1), ("b1", B1), ("w2", W2), ("b2", B2))]
    return helper.make_model(helper.make_graph(nodes, "g", inputs, outputs, constants), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


class Builder:
    """A TFLite model, tensor by tensor."""

    def __init__(self) -> None:
        self.model = tflite.new_model("hand made")
        self.graph = tflite.main_graph(self.model)

    def tensor(self, name: str, shape: Sequence[int], type_name: str = "FLOAT32", form: Form | None = None) -> int:
        index = tflite.add_tensor(self.model, self.graph, name, type_name, shape)
        if form is not None:
            tflite.set_type(self.graph.tensors[index], type_name, [form.scale], [form.zero_point])
        return index

    def constant(self, name: str, value: np.ndarray, scale: float | None = None) -> int:
        type_name = {"float32": "FLOAT32", "int8": "INT8", "int32": "INT32"}[value.dtype.name]
        index = tflite.add_tensor(self.model, self.graph, name, type_name, value.shape, buffer=tflite.add_buffer(self.model, value))
        if scale is not None:
            tflite.set_type(self.graph.tensors[index], type_name, [scale], [0])
        return index

    def op(self, name: str, inputs: list[int], outputs: list[int], version: int = 1) -> None:
        self.graph.operators.append(tflite.add_op(self.model, name, version, inputs, outputs))

    def dense(self, source: int, weights: int, bias: int, output: int, version: int) -> None:
        self.op("FULLY_CONNECTED", [source, weights, bias], [output], version)
        tflite.set_options(self.graph.operators[-1], "FullyConnectedOptions")

    def save(self, path: Path, inputs: list[int], outputs: list[int]) -> Path:
        self.graph.inputs, self.graph.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        write_bytes(path, tflite.serialize(self.model))
        return path


def float_file(folder: Path) -> Path:
    build = Builder()
    x, h, y = build.tensor("x", (1, 4)), build.tensor("h", (1, 3)), build.tensor("y", (1, 2))
    build.dense(x, build.constant("w1", W1), build.constant("b1", B1), h, 1)
    build.dense(h, build.constant("w2", W2), build.constant("b2", B2), y, 1)
    return build.save(folder / "float.tflite", [x], [y])


def _int8_dense(build: Builder, source: int, weights: np.ndarray, bias: np.ndarray, form: Form, output: int) -> None:
    integers, scale, offset = weights_in_int8(weights, bias, form)
    build.dense(source, build.constant("w", integers, scale), build.constant("b", offset, form.scale * scale), output, 4)


def int8_file(folder: Path) -> Path:
    """QUANTIZE, both layers in int8, DEQUANTIZE."""
    build = Builder()
    x, y = build.tensor("x", (1, 4)), build.tensor("y", (1, 2))
    x8, h8, y8 = build.tensor("x_int8", (1, 4), "INT8", X), build.tensor("h", (1, 3), "INT8", H), build.tensor("y_int8", (1, 2), "INT8", Y)
    build.op("QUANTIZE", [x], [x8])
    _int8_dense(build, x8, W1, B1, X, h8)
    _int8_dense(build, h8, W2, B2, H, y8)
    build.op("DEQUANTIZE", [y8], [y], 2)
    return build.save(folder / "int8.tflite", [x], [y])


def island_file(folder: Path, *, float_layer: int) -> Path:
    """One layer stays float: the first (0) or the second (1)."""
    build = Builder()
    x, y = build.tensor("x", (1, 4)), build.tensor("y", (1, 2))
    h8 = build.tensor("h" if float_layer == 1 else "h_int8", (1, 3), "INT8", H)
    h = build.tensor("h_float" if float_layer == 1 else "h", (1, 3))
    if float_layer == 0:
        y8 = build.tensor("y_int8", (1, 2), "INT8", Y)
        build.dense(x, build.constant("w1", W1), build.constant("b1", B1), h, 1)
        build.op("QUANTIZE", [h], [h8])
        _int8_dense(build, h8, W2, B2, H, y8)
        build.op("DEQUANTIZE", [y8], [y], 2)
    else:
        x8 = build.tensor("x_int8", (1, 4), "INT8", X)
        build.op("QUANTIZE", [x], [x8])
        _int8_dense(build, x8, W1, B1, X, h8)
        build.op("DEQUANTIZE", [h8], [h], 2)
        build.dense(h, build.constant("w2", W2), build.constant("b2", B2), y, 1)
    return build.save(folder / "island.tflite", [x], [y])


BINDINGS = (InputBinding("x", "x", (1, 4), (0, 1), "float32"),)


def pair(node: str, tensor: str, size: int) -> TensorPair:
    return TensorPair(node=node, tensor=tensor, status="mapped", tflite_tensor=tensor, onnx_shape=(1, size), permutation=(0, 1), evidence="name")


def tensor_map() -> TensorMap:
    return TensorMap(
        pairs=(pair("first", "h", 3), pair("second", "y", 2)),
        inputs=BINDINGS,
        outputs=(pair("second", "y", 2),),
        owners=("first", "second"),
        absorbed=MappingProxyType({}),
    )


def converted(folder: Path) -> ConvertedModel:
    return ConvertedModel(float_file(folder), "", tensor_map(), "")


def quantized(path: Path, positions: tuple[int, int]) -> QuantizedModel:
    """`positions` of the two layers among the operators of the file."""
    ops = tuple(OpOutcome(index, "FULLY_CONNECTED", "static_wi8_ai8", "", position) for index, position in enumerate(positions))
    return QuantizedModel(path, "", "static_wi8_ai8", ops)
