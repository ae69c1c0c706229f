"""Float TFLite files of one operator, their int8 files, and the float value that an int8 kernel has to hit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bridge.quantize import OPS, PRECISIONS, quantize
from bridge.quantize.float_graph import read_graph
from bridge.quantize.forms import Form, asymmetric, quantize_values, symmetric
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter, Kernels
from bridge.types import OpOutcome, Ranges, TensorRange

TYPES = {"float32": "FLOAT32", "int32": "INT32", "int64": "INT64", "bool": "BOOL"}

WEIGHTED = {"CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 1, "TRANSPOSE_CONV": 1, "BATCH_MATMUL": 1, "EMBEDDING_LOOKUP": 1}

type Options = tuple[str, Mapping[str, object]]  # a table of the schema and its fields


@dataclass(frozen=True)
class OneOp:
    """An operator with its operands.

    Attributes:
        op: TFLite name.
        feeds: value of every operand that is fed at run time, by position; leading axis = samples.
        constants: value of the others, by position.
        outputs: shape per output.
        options: table of the schema and its fields.
        output_types: NumPy dtype per output; float32 if shorter.
        length: how many inputs it has, where the last ones are missing; else as many as operands.
        states: shape of the tensors that the operator itself writes, by position; zero before every run.
    """

    op: str
    feeds: Mapping[int, np.ndarray]
    outputs: Sequence[Sequence[int]]
    constants: Mapping[int, np.ndarray] = field(default_factory=dict)
    options: Options | None = None
    output_types: Sequence[str] = ()
    version: int = 1
    length: int = 0
    states: Mapping[int, Sequence[int]] = field(default_factory=dict)

    def build(self) -> bytes:
        """The float file; operand i is called `in<i>`, output i `out<i>`."""
        model = tflite.new_model(f"one {self.op}")
        graph = tflite.main_graph(model)
        operands = {**self.feeds, **self.constants}
        inputs = []
        for position in range(self.length or max(operands) + 1):
            if position in self.states:
                inputs.append(tflite.add_tensor(model, graph, f"in{position}", "FLOAT32", self.states[position]))
                graph.tensors[-1].isVariable = True
                continue
            if position not in operands:
                inputs.append(-1)
                continue
            value = operands[position]
            constant = position in self.constants
            buffer = tflite.add_buffer(model, value) if constant else 0
            shape = value.shape if constant else value.shape[1:]
            inputs.append(tflite.add_tensor(model, graph, f"in{position}", TYPES[value.dtype.name], shape, buffer=buffer))
        outputs = []
        for position, output in enumerate(self.outputs):
            dtype = self.output_types[position] if position < len(self.output_types) else "float32"
            outputs.append(tflite.add_tensor(model, graph, f"out{position}", TYPES[dtype], output))
        operator = tflite.add_op(model, self.op, self.version, inputs, outputs)
        if self.options is not None:
            tflite.set_options(operator, self.options[0], **self.options[1])
        graph.operators = [operator]
        graph.inputs = np.asarray([inputs[position] for position in self.feeds], np.int32)
        graph.outputs = np.asarray(outputs, np.int32)
        return tflite.serialize(model)

    def samples(self) -> list[dict[str, np.ndarray]]:
        """One feed per sample."""
        count = len(next(iter(self.feeds.values())))
        return [{f"in{position}": value[index] for position, value in self.feeds.items()} for index in range(count)]


def calibrate(content: bytes, samples: Sequence[Mapping[str, np.ndarray]]) -> Ranges:
    """Minimum and maximum of everything that is computed, over the samples."""
    model = tflite.parse(content, where="one op")
    graph = tflite.main_graph(model)
    floats = [index for index in tflite.activations(model) if tflite.TYPE_NAMES[graph.tensors[index].type] == "FLOAT32"]
    interpreter = Interpreter(tflite.expose(model, floats), kernels="builtin")
    runs = [interpreter.run(sample) for sample in samples]
    spans = {}
    for position, index in enumerate(floats):
        values = [run[position] for run in runs]
        low, high = min(float(value.min()) for value in values), max(float(value.max()) for value in values)
        spans[tflite.text(graph.tensors[index].name)] = TensorRange(low, high)
    return Ranges(spans, len(samples), "test", "")


def quantized(content: bytes, ranges: Ranges, folder: Path, precision: str) -> tuple[tflite.ModelT, OpOutcome]:
    """The file of a float file in a precision, and what became of the operator; integer activations are fed and read as integers."""
    source, target = folder / "float.tflite", folder / "quantized.tflite"
    source.write_bytes(content)
    edges = "int8" if precision == "static_wi8_ai8" else "float32"
    made = quantize(source, target, ranges=ranges, op_precisions=[precision], input_dtype=edges, output_dtype=edges)
    model = tflite.read(target)
    return (_without_doors(model) if PRECISIONS[precision].integer else model), made.ops[0]


def moved(op: OneOp, ranges: Ranges, precision: str) -> tflite.ModelT:
    """The file of an operator that moves data, whatever type the data come in: one form for all of them, the version of its row."""
    graph = read_graph(tflite.parse(op.build(), where="one op"), where="one op")
    floats = [tensor for tensor in graph.tensors if tensor.type == "FLOAT32"]
    spans = [
        _span(graph.value(index)) if tensor.constant else ranges.tensors[tensor.name]
        for index, tensor in enumerate(graph.tensors)
        if tensor in floats
    ]
    whole = TensorRange(min(span.minimum for span in spans), max(span.maximum for span in spans))
    form = symmetric(whole, "INT16") if PRECISIONS[precision].activation == "INT16" else asymmetric(whole)
    version = OPS[op.op].kernels[precision].version
    wanted = version if isinstance(version, int) else version(graph, graph.ops[0])
    return with_forms(op, {tensor.name: form for tensor in floats}, max(op.version, wanted))


def _span(values: np.ndarray) -> TensorRange:
    return TensorRange(float(values.min()), float(values.max()))


def _without_doors(model: tflite.ModelT) -> tflite.ModelT:
    """The same file with integer inputs and outputs: no QUANTIZE behind an input, no DEQUANTIZE in front of an output."""
    graph = tflite.main_graph(model)
    entered, left, kept = {}, {}, []
    for operator in graph.operators:
        name, source, target = tflite.op_name(model, operator), int(operator.inputs[0]), int(operator.outputs[0])
        if name == "QUANTIZE" and source in graph.inputs and source not in entered:
            entered[source] = target
        elif name == "DEQUANTIZE" and target in graph.outputs:
            left[target] = source
        else:
            kept.append(operator)
    graph.operators = kept
    for renamed in (entered, left):
        for outer, inner in renamed.items():
            graph.tensors[inner].name, graph.tensors[outer].name = graph.tensors[outer].name, b"unused_" + graph.tensors[outer].name
    graph.inputs = np.asarray([entered.get(int(index), int(index)) for index in graph.inputs], np.int32)
    graph.outputs = np.asarray([left.get(int(index), int(index)) for index in graph.outputs], np.int32)
    return model


def with_forms(op: OneOp, forms: Mapping[str, Form], version: int) -> tflite.ModelT:
    """The integer file with the given forms, whatever the table says about them."""
    model = tflite.parse(op.build(), where="one op")
    graph = tflite.main_graph(model)
    for tensor in graph.tensors:
        form = forms.get(tflite.text(tensor.name))
        if form is not None:
            if tflite.is_constant(model, tensor):
                tensor.buffer = tflite.add_buffer(model, quantize_values(tflite.constant(model, tensor), form))
            tflite.set_type(tensor, form.type, form.scales, form.zero_points, axis=form.axis)
    graph.operators[0].opcodeIndex = tflite.op_code(model, op.op, version)
    return model


def twin(model: tflite.ModelT) -> bytes:
    """The same file in float: stored constants become the float values they stand for, QUANTIZE and DEQUANTIZE operators vanish."""
    return tflite.serialize(_float_model(model, lambda name, value: value))


def _float_model(model: tflite.ModelT, change: Callable[[str, np.ndarray], np.ndarray]) -> tflite.ModelT:
    copy = tflite.parse(tflite.serialize(model), where="copy")
    graph = tflite.main_graph(copy)
    same = {}
    operators = []
    for operator in graph.operators:
        if tflite.op_name(copy, operator) in ("QUANTIZE", "DEQUANTIZE"):
            same[int(operator.outputs[0])] = int(operator.inputs[0])
            continue
        operator.inputs = np.asarray([same.get(int(index), int(index)) for index in operator.inputs], np.int32)
        operators.append(operator)
    graph.operators = operators
    graph.outputs = np.asarray([same.get(int(index), int(index)) for index in graph.outputs], np.int32)
    for tensor in graph.tensors:
        quantized_values = tensor.quantization is not None and tensor.quantization.scale is not None
        if not quantized_values and tflite.TYPE_NAMES[tensor.type] not in ("FLOAT16", "FLOAT32"):
            continue
        if tflite.is_constant(copy, tensor):
            value = dequantize(_stored(copy, tensor), tensor) if quantized_values else tflite.constant(copy, tensor).astype(np.float32)
            tensor.buffer = tflite.add_buffer(copy, change(tflite.text(tensor.name), value))
        tflite.set_type(tensor, "FLOAT32")
    return copy


def _stored(model: tflite.ModelT, tensor: tflite.TensorT) -> np.ndarray:
    """The stored integers of a constant; two int4 values share a byte, the first in its low half."""
    if tflite.TYPE_NAMES[tensor.type] != "INT4":
        return tflite.constant(model, tensor)
    packed = np.asarray(model.buffers[tensor.buffer].data, np.uint8)
    halves = np.stack([packed & 15, packed >> 4], axis=1).reshape(-1)[: int(np.prod(tflite.shape(tensor)))]
    return np.where(halves > 7, halves.astype(np.int8) - 16, halves.astype(np.int8)).reshape(tflite.shape(tensor))


def _aligned(values: Sequence[float], tensor: tflite.TensorT, rank: int) -> np.ndarray:
    array = np.asarray(values, np.float64)
    return array.reshape([-1 if axis == tensor.quantization.quantizedDimension and len(array) > 1 else 1 for axis in range(rank)])


def dequantize(stored: np.ndarray, tensor: tflite.TensorT) -> np.ndarray:
    """The float32 values that stored integers stand for."""
    scales = _aligned(tensor.quantization.scale, tensor, stored.ndim)
    zero_points = _aligned(tensor.quantization.zeroPoint, tensor, stored.ndim)
    real: np.ndarray = (stored.astype(np.float64) - zero_points) * scales
    return real.astype(np.float32)


def steps_of(values: np.ndarray, tensor: tflite.TensorT) -> np.ndarray:
    """Float values in units of a tensor's stored integers, saturated but not rounded."""
    scale, zero_point = float(tensor.quantization.scale[0]), int(tensor.quantization.zeroPoint[0])
    limits = np.iinfo(tflite.dtype(tensor))
    steps: np.ndarray = np.clip(values.astype(np.float64) / scale + zero_point, limits.min, limits.max)
    return steps


class Exact:
    """What an integer file has to give: the float kernel's values for the very numbers that the integer kernel is fed.

    Args:
        model: the integer file.
        samples: float values, one feed per sample.
    """

    def __init__(self, model: tflite.ModelT, samples: Sequence[Mapping[str, np.ndarray]]) -> None:
        graph = tflite.main_graph(model)
        self.content = tflite.serialize(model)
        self.outputs = [graph.tensors[int(index)] for index in graph.outputs]
        tensors = {tflite.text(tensor.name): tensor for tensor in graph.tensors}
        exact = Interpreter(twin(model), kernels="builtin")
        self.stored, self.wanted = [], []
        for sample in samples:
            stored, real = {}, {}
            for name, value in sample.items():
                tensor = tensors[name]
                if _plain(tensor):
                    stored[name] = real[name] = value
                    continue
                stored[name] = np.rint(steps_of(value, tensor)).astype(tflite.dtype(tensor))
                real[name] = dequantize(stored[name], tensor)
            self.stored.append(stored)
            self.wanted.append(exact.run(real))

    def differences(self, kernels: Kernels) -> list[np.ndarray]:
        """Per output the distance to the exact value, in steps, over all samples; plain outputs: 0 where equal."""
        integer = Interpreter(self.content, kernels=kernels)
        found: list[list[np.ndarray]] = [[] for _ in self.outputs]
        for stored, exact in zip(self.stored, self.wanted, strict=True):
            for parts, tensor, wanted, got in zip(found, self.outputs, exact, integer.run(stored), strict=True):
                off = wanted != got if _plain(tensor) else got.astype(np.float64) - steps_of(wanted, tensor)
                parts.append(np.asarray(off, np.float64).reshape(-1))
        return [np.concatenate(parts) for parts in found]


def _plain(tensor: tflite.TensorT) -> bool:
    return tensor.quantization is None or tensor.quantization.scale is None


def differences(model: tflite.ModelT, samples: Sequence[Mapping[str, np.ndarray]], kernels: Kernels) -> list[np.ndarray]:
    """Per output the distance of an integer kernel to the exact value, in steps, over all samples."""
    return Exact(model, samples).differences(kernels)


def stored_differences(model: tflite.ModelT, samples: Sequence[Mapping[str, np.ndarray]], kernels: Kernels) -> float:
    """Largest distance to the float file with the same weights, in parts of its largest value."""
    exact, stored = Interpreter(twin(model), kernels="builtin"), Interpreter(tflite.serialize(model), kernels=kernels)
    off = [0.0]
    for sample in samples:
        wanted, got = exact.run(sample)[0], stored.run(sample)[0]
        off.append(float(np.abs(got - wanted).max() / (np.abs(wanted).max() + 1e-30)))
    return max(off)


def hybrid_differences(model: tflite.ModelT, samples: Sequence[Mapping[str, np.ndarray]], kernels: Kernels) -> np.ndarray:
    """Distance of a kernel with float activations and int8 weights to the float kernel with the same weights, in standard deviations.

    Such a kernel rounds its one activation to int8, with the scale that its range in this run gives. Rounding errors are independent with
    variance step^2 / 12, so the output's variance is that times the sum of the squares of the weights that reach it: the float kernel
    on ones with squared weights and no bias.
    """
    exact, hybrid = Interpreter(twin(model), kernels="builtin"), Interpreter(tflite.serialize(model), kernels=kernels)
    weight = tflite.main_graph(model).operators[0].inputs[WEIGHTED[tflite.op_name(model, tflite.main_graph(model).operators[0])]]
    weight_name = tflite.text(tflite.main_graph(model).tensors[int(weight)].name)
    squares = _float_model(model, lambda name, value: value**2 if name == weight_name else 0 * value)
    for operator in tflite.main_graph(squares).operators:
        if hasattr(operator.builtinOptions, "fusedActivationFunction"):
            operator.builtinOptions.fusedActivationFunction = 0
    powers = Interpreter(tflite.serialize(squares), kernels="builtin")
    found = []
    for sample in samples:
        ((name, value),) = sample.items()
        read = value.dtype == np.float32  # indices are not rounded
        step = (max(float(value.max()), 0.0) - min(float(value.min()), 0.0)) / 255 if read else 0.0
        deviation = step / np.sqrt(12) * np.sqrt(powers.run({name: np.ones_like(value) if read else value})[0].astype(np.float64))
        wanted = exact.run(sample)[0].astype(np.float64)
        rounding = 1e-6 * np.abs(wanted).max() + 1e-30  # of float32 sums, and no division by zero where all weights are zero
        found.append(((hybrid.run(sample)[0] - wanted) / (deviation + rounding)).reshape(-1))
    return np.concatenate(found)
