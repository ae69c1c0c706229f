"""Small float TFLite files with samples, as recovery gets them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bridge.recover import Job
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter
from bridge.types import InputBinding, Ranges, TensorRange

INT8 = "static_wi8_ai8"
RELU = 1


class ArraySamples:
    """Samples of one input `x`, [N, *shape] float32."""

    labels = None

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, position: int) -> dict[str, np.ndarray]:
        return {"x": self.values[position]}


class Layers:
    """A chain of layers under construction that starts at the input `x` of shape [1, height, width, channels]."""

    def __init__(self, *shape: int) -> None:
        self.model = tflite.new_model("test")
        self.graph = tflite.main_graph(self.model)
        self.shape: tuple[int, ...] = shape
        self.last = tflite.add_tensor(self.model, self.graph, "x", "FLOAT32", shape)
        self.input = self.last

    def conv(self, name: str, weight: np.ndarray, bias: np.ndarray, *, activation: int = 0) -> "Layers":
        """CONV_2D with stride 1 and `SAME` padding; weight [out, height, width, in]."""
        options = {"padding": 0, "strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1, "fusedActivationFunction": activation}
        return self._weighted("CONV_2D", name, weight, bias, (*self.shape[:-1], len(weight)), "Conv2DOptions", options)

    def depthwise(self, name: str, weight: np.ndarray, bias: np.ndarray, *, activation: int = 0) -> "Layers":
        """DEPTHWISE_CONV_2D likewise; weight [1, height, width, channels]."""
        options = {"padding": 0, "strideH": 1, "strideW": 1, "depthMultiplier": 1, "dilationHFactor": 1, "dilationWFactor": 1}
        options["fusedActivationFunction"] = activation
        return self._weighted("DEPTHWISE_CONV_2D", name, weight, bias, self.shape, "DepthwiseConv2DOptions", options)

    def dense(self, name: str, weight: np.ndarray, bias: np.ndarray, *, activation: int = 0) -> "Layers":
        """FULLY_CONNECTED on all that is there; weight [out, in]."""
        return self._weighted(
            "FULLY_CONNECTED", name, weight, bias, (1, len(weight)), "FullyConnectedOptions", {"fusedActivationFunction": activation}
        )

    def unary(self, kind: str, name: str) -> "Layers":
        """An operator without weights."""
        return self._append(kind, [self.last], name, self.shape)

    def reshape(self, name: str, *shape: int) -> "Layers":
        """RESHAPE to constant sizes."""
        return self._append("RESHAPE", [self.last, self._constant(f"{name}_sizes", np.asarray(shape, np.int32))], name, shape)

    def mean_of_samples(self, name: str) -> "Layers":
        """MEAN over the first axis, which stays with size 1."""
        self._append("MEAN", [self.last, self._constant(f"{name}_axes", np.zeros(1, np.int32))], name, self.shape)
        tflite.set_options(self.graph.operators[-1], "ReducerOptions", keepDims=True)
        return self

    def save(self, path: Path, *extra: str) -> Path:
        """Writes the file; its outputs are the last tensor and those of the names `extra`."""
        names = [tflite.text(tensor.name) for tensor in self.graph.tensors]
        self.graph.inputs = np.asarray([self.input], np.int32)
        self.graph.outputs = np.asarray([self.last, *(names.index(name) for name in extra)], np.int32)
        path.write_bytes(tflite.serialize(self.model))
        return path

    def _weighted(
        self, kind: str, name: str, weight: np.ndarray, bias: np.ndarray, shape: Sequence[int], table: str, options: dict[str, int]
    ) -> "Layers":
        operands = [self._constant(f"{name}_{part}", value.astype(np.float32)) for part, value in (("weight", weight), ("bias", bias))]
        self._append(kind, [self.last, *operands], name, shape)
        tflite.set_options(self.graph.operators[-1], table, **options)
        return self

    def _constant(self, name: str, value: np.ndarray) -> int:
        return tflite.add_tensor(self.model, self.graph, name, value.dtype.name.upper(), value.shape, buffer=tflite.add_buffer(self.model, value))

    def _append(self, kind: str, inputs: Sequence[int], name: str, shape: Sequence[int]) -> "Layers":
        self.shape = tuple(shape)
        self.last = tflite.add_tensor(self.model, self.graph, name, "FLOAT32", self.shape)
        self.graph.operators.append(tflite.add_op(self.model, kind, 1, inputs, [self.last]))
        return self


def job(path: Path, values: np.ndarray, *, precision: str = INT8, budget: float = 1e10) -> Job:
    """Everything in one precision."""
    count = len(tflite.main_graph(tflite.read(path)).operators)
    binding = InputBinding("x", "x", values.shape[1:], tuple(range(values.ndim - 1)), "float32")
    return Job(path, [precision] * count, precision, (binding,), ArraySamples(values), threads=1, budget=budget)


def run(path: Path, values: np.ndarray) -> np.ndarray:
    """First output of a file for each sample, stacked."""
    interpreter = Interpreter(path)
    return np.stack([interpreter.run({"x": value})[0] for value in values])


def min_max(path: Path, values: np.ndarray) -> Ranges:
    """Smallest and largest value of every activation."""
    model = tflite.read(path)
    shown = tflite.activations(model)
    interpreter = Interpreter(tflite.expose(model, shown))
    runs = [interpreter.run({"x": value}) for value in values]
    names = [tflite.text(tflite.main_graph(model).tensors[index].name) for index in shown]
    extents = [TensorRange(min(float(run[at].min()) for run in runs), max(float(run[at].max()) for run in runs)) for at in range(len(shown))]
    return Ranges(dict(zip(names, extents, strict=True)), len(values), "test", "")


def sqnr_db(expected: np.ndarray, received: np.ndarray) -> float:
    """10 * log10(signal power / noise power)."""
    return float(10 * np.log10(np.square(expected).sum() / np.square(expected - received).sum()))
