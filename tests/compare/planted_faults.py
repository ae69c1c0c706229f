"""Faults that conversions and quantizers really make, planted into a pair of files that is right."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from bridge.compare.alignment import aligned
from bridge.tflite import model as tflite

type Pair = tuple[tflite.ModelT, tflite.ModelT]  # the float file and the quantized file
type Plant = Callable[
    [Pair], Iterator[int]
]  # changes one of them and yields the position of the operator, in the float file; nothing where it cannot


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault: its name and what plants it. It goes into the operator in the middle of all that it fits."""

    name: str
    plant: Plant


def _middle(candidates: list[int]) -> list[int]:
    """All, beginning in the middle: first operators and last ones are special."""
    return sorted(candidates, key=lambda item: abs(candidates.index(item) - len(candidates) // 2))


def _ops(model: tflite.ModelT, *names: str) -> list[int]:
    return [position for position, op in enumerate(tflite.main_graph(model).operators) if tflite.op_name(model, op) in names]


def _in_float(pair: Pair, position: int) -> int:
    """Position in the float file of an operator of the quantized one."""
    pairs = aligned(*pair)
    assert pairs is not None
    return pairs.ops[position]


def _integer(pair: Pair, *names: str) -> list[int]:
    """Operators of the quantized file that compute in int8, the middle one first."""
    graph = tflite.main_graph(pair[1])
    return _middle(
        [position for position in _ops(pair[1], *names) if tflite.dtype(graph.tensors[graph.operators[position].outputs[0]]).name == "int8"]
    )


def _store(model: tflite.ModelT, tensor: tflite.TensorT, value: np.ndarray) -> None:
    """A constant of its own: buffers may be shared."""
    tensor.buffer = tflite.add_buffer(model, np.ascontiguousarray(value))


def _own_tensor(model: tflite.ModelT, op: tflite.OperatorT, place: int) -> tflite.TensorT:
    """A copy of an operator's constant that no other operator reads."""
    graph = tflite.main_graph(model)
    copy = type(graph.tensors[0])()
    vars(copy).update(vars(graph.tensors[int(op.inputs[place])]))
    graph.tensors.append(copy)
    inputs = np.array(op.inputs, np.int32)
    inputs[place] = len(graph.tensors) - 1
    op.inputs = inputs
    return copy


def _requantized(tensor: tflite.TensorT, scale: np.ndarray, axis: int) -> None:
    quantization = type(tensor.quantization)()
    vars(quantization).update(vars(tensor.quantization))
    quantization.scale, quantization.quantizedDimension = np.asarray(scale, np.float32), axis
    tensor.quantization = quantization


WEIGHTED = ("CONV_2D", "FULLY_CONNECTED", "DEPTHWISE_CONV_2D")
VISIBLE = 0.01  # a tenth of an epsilon is lost in float rounding
MOVING = ("RESHAPE", "TRANSPOSE", "GATHER", "STRIDED_SLICE", "SLICE", "SQUEEZE")


def wrong_scale(pair: Pair) -> Iterator[int]:
    for position in _integer(pair, *WEIGHTED)[:1]:
        weight = _own_tensor(pair[1], tflite.main_graph(pair[1]).operators[position], 1)
        _requantized(weight, np.asarray(weight.quantization.scale) * 1.5, weight.quantization.quantizedDimension)
        yield _in_float(pair, position)


def wrong_axis(pair: Pair) -> Iterator[int]:
    """Scales per channel that belong to the neighbouring channel."""
    for position in _integer(pair, *WEIGHTED):
        weight = _own_tensor(pair[1], tflite.main_graph(pair[1]).operators[position], 1)
        scales = np.asarray(weight.quantization.scale)
        if len(scales) > 1:
            _requantized(weight, np.roll(scales, 1), weight.quantization.quantizedDimension)
            yield _in_float(pair, position)
            return


def swapped_layout(pair: Pair) -> Iterator[int]:
    for position in _integer(pair, "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        op = tflite.main_graph(pair[1]).operators[position]
        value = tflite.constant(pair[1], tflite.main_graph(pair[1]).tensors[op.inputs[1]])
        if value.ndim == 4 and value.shape[1] == value.shape[2] > 1:
            _store(pair[1], _own_tensor(pair[1], op, 1), value.transpose(0, 2, 1, 3))
        elif value.ndim == 2 and value.shape[0] == value.shape[1]:
            _store(pair[1], _own_tensor(pair[1], op, 1), value.T)
        else:
            continue
        yield _in_float(pair, position)
        return


def broken_row(pair: Pair) -> Iterator[int]:
    """One output channel of the kernel is zero."""
    for position in _integer(pair, *WEIGHTED)[:1]:
        op = tflite.main_graph(pair[1]).operators[position]
        value = tflite.constant(pair[1], tflite.main_graph(pair[1]).tensors[op.inputs[1]]).copy()
        axis = value.ndim - 1 if tflite.op_name(pair[1], op) == "DEPTHWISE_CONV_2D" else 0
        moved = np.moveaxis(value, axis, 0)
        moved[moved.shape[0] // 2] = 0
        _store(pair[1], _own_tensor(pair[1], op, 1), value)
        yield _in_float(pair, position)


def shifted_bias(pair: Pair) -> Iterator[int]:
    """Every bias is a quarter of the output's range too large."""
    for position in _integer(pair, *WEIGHTED):
        graph = tflite.main_graph(pair[1])
        op = graph.operators[position]
        if len(op.inputs) < 3 or op.inputs[2] < 0:
            continue
        value = tflite.constant(pair[1], graph.tensors[op.inputs[2]])
        shift = 64.0 * graph.tensors[op.outputs[0]].quantization.scale[0] / np.asarray(graph.tensors[op.inputs[2]].quantization.scale)
        _store(pair[1], _own_tensor(pair[1], op, 2), (value + np.rint(shift)).astype(value.dtype))
        yield _in_float(pair, position)
        return


def clipped_range(pair: Pair) -> Iterator[int]:
    """The output's range is a quarter of what it should be; biases of its readers are kept right."""
    model = pair[1]
    graph = tflite.main_graph(model)
    for position in _integer(pair, "CONV_2D", "FULLY_CONNECTED"):
        index = int(graph.operators[position].outputs[0])
        readers = [op for op in graph.operators if index in op.inputs]
        if not all(tflite.op_name(model, op) in WEIGHTED for op in readers) or index in graph.outputs or not readers:
            continue
        for reader in readers:
            if len(reader.inputs) > 2 and reader.inputs[2] >= 0:
                bias = _own_tensor(model, reader, 2)
                _store(model, bias, tflite.constant(model, bias) * 4)
                _requantized(bias, np.asarray(bias.quantization.scale) / 4, bias.quantization.quantizedDimension)
        _requantized(graph.tensors[index], np.asarray(graph.tensors[index].quantization.scale) / 4, 0)
        yield _in_float(pair, position)
        return


def two_scales(pair: Pair) -> Iterator[int]:
    """An operator that has one scale for input and output gets two."""
    graph = tflite.main_graph(pair[1])
    for position in _integer(pair, "MAX_POOL_2D", "AVERAGE_POOL_2D", "RESHAPE", "TRANSPOSE", "CONCATENATION", "PAD", "STRIDED_SLICE"):
        index = int(graph.operators[position].outputs[0])
        _requantized(graph.tensors[index], np.asarray(graph.tensors[index].quantization.scale) * 1.6, 0)
        yield _in_float(pair, position)
        return


def asymmetric_operand(pair: Pair) -> Iterator[int]:
    """BATCH_MATMUL with a zero point that its optimised kernel does not see."""
    graph = tflite.main_graph(pair[1])
    writers = {int(op.outputs[0]): op for op in graph.operators}
    for position in _integer(pair, "BATCH_MATMUL"):
        chain = [int(graph.operators[position].inputs[1])]
        while tflite.op_name(pair[1], writers[chain[-1]]) in MOVING:
            chain.append(int(writers[chain[-1]].inputs[0]))
        if any(sum(index in op.inputs for op in graph.operators) > 1 for index in chain):
            continue  # the other readers would have to change as well
        for index in chain:
            _requantized(graph.tensors[index], np.asarray(graph.tensors[index].quantization.scale) * 1.2, 0)
            graph.tensors[index].quantization.zeroPoint = np.array([20], np.int64)
        yield _in_float(pair, position)
        return


def missing_activation(pair: Pair) -> Iterator[int]:
    model = pair[0]
    for position in _middle(_ops(model, *WEIGHTED, "ADD")):
        options = tflite.main_graph(model).operators[position].builtinOptions
        if options is not None and options.fusedActivationFunction:
            options.fusedActivationFunction = 0
            yield position
            return


def wrong_epsilon(pair: Pair) -> Iterator[int]:
    """1e-3 too much under the root of a normalisation."""
    model = pair[0]
    graph = tflite.main_graph(model)
    roots = {int(graph.operators[position].inputs[0]) for position in _ops(model, "SQRT", "RSQRT")}
    for position in _middle([position for position in _ops(model, "ADD") if int(graph.operators[position].outputs[0]) in roots]):
        op = graph.operators[position]
        for place in (0, 1):
            if tflite.is_constant(model, graph.tensors[op.inputs[place]]):
                epsilon = _own_tensor(model, op, place)
                _store(model, epsilon, tflite.constant(model, epsilon) + np.float32(1e-3))
                yield position
                return


def wrong_padding(pair: Pair) -> Iterator[int]:
    """Two rows above and none below instead of one and one."""
    model = pair[0]
    graph = tflite.main_graph(model)
    for position in _middle(_ops(model, "PAD")):
        op = graph.operators[position]
        value = tflite.constant(model, graph.tensors[op.inputs[1]]).copy()
        if value.shape[0] == 4 and value[1].sum() > 0:
            value[1] = [value[1].sum(), 0] if value[1, 1] else [0, value[1].sum()]
            _store(model, _own_tensor(model, op, 1), value)
            yield position
            return


def swapped_channels(pair: Pair) -> Iterator[int]:
    """Weights that see the input's channels in reverse order."""
    model = pair[0]
    graph = tflite.main_graph(model)
    for position in _middle(_ops(model, "CONV_2D", "FULLY_CONNECTED")):
        op = graph.operators[position]
        if tflite.is_constant(model, graph.tensors[op.inputs[1]]) and tflite.shape(graph.tensors[op.inputs[1]])[-1] > 1:
            weight = _own_tensor(model, op, 1)
            _store(model, weight, tflite.constant(model, weight)[..., ::-1])
            yield position
            return


def wrong_constant(pair: Pair) -> Iterator[int]:
    """One tenth too much in what an ADD or MUL reads."""
    model = pair[0]
    graph = tflite.main_graph(model)
    for position in _middle(_ops(model, "MUL", "ADD", "SUB", "DIV")):
        op = graph.operators[position]
        for place in (0, 1):
            tensor = graph.tensors[op.inputs[place]]
            if tflite.is_constant(model, tensor) and tflite.dtype(tensor).kind == "f" and np.abs(tflite.constant(model, tensor)).max() > VISIBLE:
                _store(model, _own_tensor(model, op, place), tflite.constant(model, tensor) * np.float32(1.1))
                yield position
                return


def wrong_slice(pair: Pair) -> Iterator[int]:
    """A window that starts one place too early or too late."""
    model = pair[0]
    graph = tflite.main_graph(model)
    for position in _middle(_ops(model, "STRIDED_SLICE")):
        op = graph.operators[position]
        begin, strides = (tflite.constant(model, graph.tensors[op.inputs[place]]).copy() for place in (1, 3))
        axes = [axis for axis in range(len(begin)) if strides[axis] == 2 and begin[axis] in (0, 1)]
        if axes and not op.builtinOptions.beginMask & (1 << axes[0]):
            begin[axes[0]] ^= 1
            _store(model, _own_tensor(model, op, 1), begin)
            yield position
            return


FAULTS = tuple(
    Fault(plant.__name__.replace("_", " "), plant)
    for plant in (
        wrong_scale,
        wrong_axis,
        swapped_layout,
        broken_row,
        shifted_bias,
        clipped_range,
        two_scales,
        asymmetric_operand,
        missing_activation,
        wrong_epsilon,
        wrong_padding,
        swapped_channels,
        wrong_constant,
        wrong_slice,
    )
)
