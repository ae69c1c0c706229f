"""Small random nets with a random precision per operator, and the exact value that every operator of the quantized file has to hit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nets import Net

from bridge.quantize import PRECISIONS
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter

SIDE = 4
CONV = {"padding": 0, "strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
POOL = {"padding": 0, "strideH": 1, "strideW": 1, "filterHeight": 2, "filterWidth": 2}
CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")


class RandomNet:
    """Grows a net of [1, SIDE, SIDE, C] tensors, most of them read more than once."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.net = Net()
        self.channels = {self.net.input(f"x{index}", 1, SIDE, SIDE, 4): 4 for index in range(self.rng.integers(1, 3))}
        self.made = 0
        self.shared: dict[int, list[str]] = {}

    def grow(self, path: Path, operators: int) -> Path:
        kinds = [self.convolution, self.matrix, self.two, self.one, self.join, self.move, self.island]
        for _ in range(operators):
            kinds[self.rng.integers(len(kinds))]()
        written = [name for name in self.channels if name not in self.net.inputs]
        unread = [name for name in written if not self.is_read(name)]
        return self.net.save(path, *dict.fromkeys([*unread, written[self.rng.integers(len(written))]]))

    def is_read(self, name: str) -> bool:
        return any(self.net.index[name] in operator.inputs for operator in self.net.graph.operators)

    def pick(self, channels: int | None = None) -> str:
        names = [name for name, count in self.channels.items() if channels in (None, count)]
        return names[self.rng.integers(len(names))]

    def add(self, op: str, inputs: Sequence[str], channels: int, options: tuple[str, Mapping[str, object]] | None = None) -> None:
        self.made += 1
        name = self.net.op(op, inputs, f"t{self.made}", 1, SIDE, SIDE, channels, options=options)
        self.channels[name] = channels

    def constant(self, *shape: int, scale: float = 0.5) -> str:
        self.made += 1
        return self.net.constant(f"c{self.made}", (scale * self.rng.standard_normal(shape)).astype(np.float32))

    def convolution(self) -> None:
        source = self.pick()
        channels = int(self.rng.choice([2, 4]))
        self.add(
            "CONV_2D", [source, self.constant(channels, 3, 3, self.channels[source]), self.constant(channels)], channels, ("Conv2DOptions", CONV)
        )

    def matrix(self) -> None:
        """Two of three read the weight of an earlier one."""
        source = self.pick()
        known = self.shared.setdefault(self.channels[source], [])
        if not known or self.rng.random() < 1 / 3:
            known.append(self.constant(3, self.channels[source]))
        weight = known[self.rng.integers(len(known))]
        self.add("FULLY_CONNECTED", [source, weight, self.constant(3)], 3, ("FullyConnectedOptions", {"keepNumDims": True}))

    def two(self) -> None:
        left = self.pick()
        op, options = [("ADD", "AddOptions"), ("MUL", "MulOptions"), ("SUB", "SubOptions")][self.rng.integers(3)]
        right = self.constant(self.channels[left]) if self.rng.random() < 0.2 else self.pick(self.channels[left])
        self.add(op, [left, right], self.channels[left], (options, {}))

    def one(self) -> None:
        source = self.pick()
        self.add(str(self.rng.choice(["LOGISTIC", "TANH", "RELU"])), [source], self.channels[source])

    def join(self) -> None:
        sources = [self.pick(), self.pick()]
        self.add("CONCATENATION", sources, sum(self.channels[source] for source in sources), ("ConcatenationOptions", {"axis": 3}))

    def move(self) -> None:
        source = self.pick()
        if self.rng.random() < 0.5:
            self.made += 1
            axes = self.net.constant(f"c{self.made}", np.array([0, 2, 1, 3], np.int32))
            self.add("TRANSPOSE", [source, axes], self.channels[source])
        else:
            self.add("MAX_POOL_2D", [source], self.channels[source], ("Pool2DOptions", POOL))

    def island(self) -> None:
        """No integer kernel."""
        source = self.pick()
        self.add("SIN", [source], self.channels[source])


def random_precisions(seed: int, count: int) -> list[str]:
    """Few seeds mix all of them, most the three that meet at borders."""
    rng = np.random.default_rng(1000 + seed)
    names = list(PRECISIONS) if seed % 3 == 0 else ["float32", "static_wi8_ai8", "static_wi8_ai16"]
    return [str(name) for name in rng.choice(names, count)]


@dataclass(frozen=True)
class Ran:
    """A quantized file and the values of all its activations in one run."""

    model: tflite.ModelT
    values: Mapping[int, np.ndarray]

    def real(self, tensor: int) -> np.ndarray:
        """The float64 values that a tensor's stored values stand for, constants too."""
        declared = tflite.main_graph(self.model).tensors[tensor]
        stored = self.values[tensor] if tensor in self.values else stored_constant(self.model, declared)
        if declared.quantization is None or declared.quantization.scale is None:
            return np.asarray(stored, np.float64)
        axis, scales = declared.quantization.quantizedDimension, np.asarray(declared.quantization.scale, np.float64)
        shape = [-1 if at == axis and len(scales) > 1 else 1 for at in range(stored.ndim)]
        real: np.ndarray = (stored.astype(np.float64) - int(declared.quantization.zeroPoint[0])) * scales.reshape(shape)
        return real


def stored_constant(model: tflite.ModelT, tensor: tflite.TensorT) -> np.ndarray:
    """Also int4: two values per byte, the first in the low half."""
    if tflite.TYPE_NAMES[tensor.type] != "INT4":
        return tflite.constant(model, tensor)
    data = np.asarray(model.buffers[tensor.buffer].data, np.uint8)
    halves = np.stack([data & 0xF, data >> 4], axis=1).reshape(-1)[: int(np.prod(tflite.shape(tensor)))].astype(np.int8)
    return np.where(halves > 7, halves - 16, halves).astype(np.int8).reshape(tflite.shape(tensor))


def exact_output(ran: Ran, operator: tflite.OperatorT) -> np.ndarray:
    """What LiteRT's float kernel computes from the real values that an operator reads."""
    model = tflite.new_model("exact")
    graph, old = tflite.main_graph(model), tflite.main_graph(ran.model)
    name = tflite.op_name(ran.model, operator)
    inputs, feeds = [], {}
    for position, index in enumerate(operator.inputs):
        value = ran.real(int(index))
        plain = tflite.TYPE_NAMES[old.tensors[int(index)].type] == "INT32" and old.tensors[int(index)].quantization is None
        if plain:
            buffer = tflite.add_buffer(model, value.astype(np.int32))
            inputs.append(tflite.add_tensor(model, graph, f"in{position}", "INT32", value.shape, buffer=buffer))
        else:
            inputs.append(tflite.add_tensor(model, graph, f"in{position}", "FLOAT32", value.shape))
            feeds[f"in{position}"] = value.astype(np.float32)
    output = tflite.add_tensor(model, graph, "out", "FLOAT32", tflite.shape(old.tensors[int(operator.outputs[0])]))
    copy = tflite.add_op(model, name, 1, inputs, [output])
    copy.builtinOptionsType, copy.builtinOptions = operator.builtinOptionsType, operator.builtinOptions
    graph.operators = [copy]
    graph.inputs = np.asarray([inputs[int(key.removeprefix("in"))] for key in feeds], np.int32)
    graph.outputs = np.asarray([output], np.int32)
    return Interpreter(tflite.serialize(model), kernels="builtin").run(feeds)[0].astype(np.float64)
