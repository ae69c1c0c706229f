"""Float TFLite files of one operator, their int8 files, and the float value that an int8 kernel has to hit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bridge.quantize import quantize
from bridge.quantize.forms import Form, quantize_values
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter, Kernels
from bridge.types import OpOutcome, Ranges, TensorRange

TYPES = {"float32": "FLOAT32", "int32": "INT32", "int64": "INT64", "bool": "BOOL"}

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
    """

    op: str
    feeds: Mapping[int, np.ndarray]
    outputs: Sequence[Sequence[int]]
    constants: Mapping[int, np.ndarray] = field(default_factory=dict)
    options: Options | None = None
    output_types: Sequence[str] = ()
    version: int = 1

    def build(self) -> bytes:
        """The float file; operand i is called `in<i>`, output i `out<i>`."""
        model = tflite.new_model(f"one {self.op}")
        graph = tflite.main_graph(model)
        operands = {**self.feeds, **self.constants}
        inputs = []
        for position in range(max(operands) + 1):
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


def quantized(content: bytes, ranges: Ranges, folder: Path) -> tuple[tflite.ModelT, OpOutcome]:
    """The int8 file of a float file, with integer inputs and outputs, and what became of the operator."""
    source, target = folder / "float.tflite", folder / "int8.tflite"
    source.write_bytes(content)
    made = quantize(source, target, ranges=ranges, op_precisions=["static_wi8_ai8"], input_dtype="int8", output_dtype="int8")
    return tflite.read(target), made.ops[0]


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
    """The same file in float: quantized constants become the float values they stand for, QUANTIZE operators vanish."""
    copy = tflite.parse(tflite.serialize(model), where="copy")
    graph = tflite.main_graph(copy)
    same = {}
    operators = []
    for operator in graph.operators:
        if tflite.op_name(copy, operator) == "QUANTIZE":
            same[int(operator.outputs[0])] = int(operator.inputs[0])
            continue
        operator.inputs = np.asarray([same.get(int(index), int(index)) for index in operator.inputs], np.int32)
        operators.append(operator)
    graph.operators = operators
    graph.outputs = np.asarray([same.get(int(index), int(index)) for index in graph.outputs], np.int32)
    for tensor in graph.tensors:
        if tensor.quantization is None or tensor.quantization.scale is None:
            continue
        if tflite.is_constant(copy, tensor):
            tensor.buffer = tflite.add_buffer(copy, dequantize(tflite.constant(copy, tensor), tensor))
        tflite.set_type(tensor, "FLOAT32")
    return tflite.serialize(copy)


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


def differences(model: tflite.ModelT, samples: Sequence[Mapping[str, np.ndarray]], kernels: Kernels) -> list[np.ndarray]:
    """Per output the distance of the integer kernel to the exact value, in steps, over all samples; plain outputs: 0 where equal.

    The exact value is the float kernel's on the very numbers that the integer kernel is fed.
    """
    graph = tflite.main_graph(model)
    tensors = {tflite.text(tensor.name): tensor for tensor in graph.tensors}
    exact = Interpreter(twin(model), kernels="builtin")
    integer = Interpreter(tflite.serialize(model), kernels=kernels)
    found: list[list[np.ndarray]] = [[] for _ in graph.outputs]
    for sample in samples:
        stored, real = {}, {}
        for name, value in sample.items():
            tensor = tensors[name]
            if tensor.quantization is None or tensor.quantization.scale is None:
                stored[name] = real[name] = value
                continue
            stored[name] = np.rint(steps_of(value, tensor)).astype(tflite.dtype(tensor))
            real[name] = dequantize(stored[name], tensor)
        for position, (wanted, got) in enumerate(zip(exact.run(real), integer.run(stored), strict=True)):
            tensor = graph.tensors[int(graph.outputs[position])]
            if tensor.quantization is None or tensor.quantization.scale is None:
                found[position].append((wanted != got).astype(np.float64))
            else:
                found[position].append(got.astype(np.float64) - steps_of(wanted, tensor))
    return [np.concatenate([part.reshape(-1) for part in parts]) for parts in found]
