"""GRU, LSTM and RNN whose weights the model computes or takes as inputs, or with the batch first -> the steps, written out.

onnx2tf 2.6.9 stops with NotImplementedError, or writes CUSTOM:ONNX_LSTM, which no runtime has. Constant weights are the business of `recurrent`.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import onnx_ir as ir
from msgspec import Struct

from bridge.graph.lowering.recurrent import MAX_STEPS
from bridge.graph.lowering.replacement import Builder, Replacement
from bridge.graph.values import constant_array, static_shape

_ACTIVATIONS = MappingProxyType({"sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu"})
_UNCOVERED = ("clip", "activation_alpha", "activation_beta", "input_forget")


class _Layer(Struct, frozen=True):
    """One direction: [I, gates * H], [H, gates * H], biases [gates * H] (None without), peepholes [H] (i, o, f)."""

    size: int
    weight: ir.Value
    recurrence: ir.Value
    bias: ir.Value | None
    recurrent_bias: ir.Value | None
    peepholes: tuple[ir.Value, ...]
    activations: tuple[str, ...]
    linear_before_reset: bool


# (builder, layer, input part of the gates [B, gates * H], states [B, H]) -> new states; the first one is the step's output.
type _Step = Callable[[Builder, _Layer, ir.Value, tuple[ir.Value, ...]], tuple[ir.Value, ...]]


def lower(graph: ir.Graph, node: ir.Node) -> Replacement | None:
    """Source: ONNX RNN-22, GRU-22, LSTM-22; X [T, B, I], Y [T, D, B, H], Y_h and Y_c [D, B, H]; with layout 1 the batch comes first in all."""
    gates, default, step = _KINDS[node.op_type]
    inputs = [*node.inputs, *[None] * (8 - len(node.inputs))]
    shape, weights = static_shape(inputs[0]), static_shape(inputs[2])
    batch_first = bool(node.attributes.get_int("layout", 0))
    computed = any(value is not None and constant_array(value) is None for value in (*inputs[1:4], inputs[7]))
    if shape is None or weights is None or not (computed or batch_first) or any(name in node.attributes for name in _UNCOVERED):
        return None
    directions, size = weights[0], weights[2]
    names = [name.lower() for name in node.attributes.get_strings("activations", list(default * directions))]
    backwards = [node.attributes.get_string("direction", "forward") == "reverse" or direction == 1 for direction in range(directions)]
    if any(name not in _ACTIVATIONS for name in names) or (inputs[4] is not None and any(backwards)):
        return None
    steps, batch = (shape[1], shape[0]) if batch_first else shape[:2]
    if steps > MAX_STEPS:
        return None
    build = Builder(graph, str(node.name))
    sequence = build.op("Transpose", inputs[0], attributes={"perm": [1, 0, 2]}) if batch_first else inputs[0]
    sequences, finals = [], []
    for direction in range(directions):
        used = tuple(_ACTIVATIONS[name] for name in names[len(default) * direction : len(default) * (direction + 1)])
        layer = _layer(build, node, inputs, direction, gates, size, used)
        states = tuple(
            _initial(build, inputs[position], direction, batch, size, batch_first) for position in ((5, 6) if node.op_type == "LSTM" else (5,))
        )
        order = range(steps - 1, -1, -1) if backwards[direction] else range(steps)
        outputs, last = _run(build, step, layer, sequence, inputs[4], states, order)
        sequences.append(build.op("Concat", *outputs, attributes={"axis": 0}) if steps > 1 else outputs[0])
        finals.append(last)
    return build.done(*_results(build, node, sequences, finals, batch_first))


def _run(
    build: Builder, step: _Step, layer: _Layer, sequence: ir.Value | None, lengths: ir.Value | None, states: tuple[ir.Value, ...], order: range
) -> tuple[list[ir.Value], tuple[ir.Value, ...]]:
    """Outputs [1, B, H] in the order of time, and the last states; behind the end of a sample the output is 0 and the state stays."""
    product = build.op("MatMul", sequence, layer.weight)
    gates = product if layer.bias is None else build.op("Add", product, layer.bias)
    outputs = {}
    for position in order:
        new = step(build, layer, build.op("Gather", gates, build.constant(np.array(position, np.int64)), attributes={"axis": 0}), states)
        output = new[0]
        if lengths is not None:
            runs = build.op("Unsqueeze", build.op("Greater", lengths, build.constant(np.array(position, np.int32))), build.integers([1]))
            output = build.op("Where", runs, output, build.scalar(0.0))
            new = tuple(build.op("Where", runs, one, old) for one, old in zip(new, states, strict=True))
        states = new
        outputs[position] = build.op("Unsqueeze", output, build.integers([0]))
    return [outputs[position] for position in sorted(outputs)], states


def _results(
    build: Builder, node: ir.Node, sequences: list[ir.Value], finals: list[tuple[ir.Value, ...]], batch_first: bool
) -> list[ir.Value | None]:
    axis = build.integers([1])
    parts = [build.op("Unsqueeze", sequence, axis) for sequence in sequences]  # [T, 1, B, H]
    joined = parts[0] if len(parts) == 1 else build.op("Concat", *parts, attributes={"axis": 1})
    results: list[ir.Value | None] = [build.op("Transpose", joined, attributes={"perm": [2, 0, 1, 3]}) if batch_first else joined]
    first = build.integers([1 if batch_first else 0])
    for position in range(len(finals[0])):
        states = [build.op("Unsqueeze", final[position], first) for final in finals]
        results.append(states[0] if len(states) == 1 else build.op("Concat", *states, attributes={"axis": 1 if batch_first else 0}))
    return [result if output.name else None for result, output in zip(results, node.outputs, strict=False)]


def _layer(
    build: Builder, node: ir.Node, inputs: list[ir.Value | None], direction: int, gates: int, size: int, activations: tuple[str, ...]
) -> _Layer:
    def of(position: int) -> ir.Value:
        return build.op("Gather", inputs[position], build.constant(np.array(direction, np.int64)), attributes={"axis": 0})

    bias = (None, None) if inputs[3] is None else _pieces(build, of(3), 2, gates * size)
    return _Layer(
        size=size,
        weight=build.op("Transpose", of(1), attributes={"perm": [1, 0]}),
        recurrence=build.op("Transpose", of(2), attributes={"perm": [1, 0]}),
        bias=bias[0],
        recurrent_bias=bias[1],
        peepholes=() if inputs[7] is None else _pieces(build, of(7), 3, size),
        activations=activations,
        linear_before_reset=bool(node.attributes.get_int("linear_before_reset", 0)),
    )


def _initial(build: Builder, value: ir.Value | None, direction: int, batch: int, size: int, batch_first: bool) -> ir.Value:
    if value is None:
        return build.constant(np.zeros((batch, size), np.float32))
    return build.op("Gather", value, build.constant(np.array(direction, np.int64)), attributes={"axis": 1 if batch_first else 0})


def _pieces(build: Builder, value: ir.Value, count: int, size: int) -> tuple[ir.Value, ...]:
    """Equal parts along the last axis."""
    if count == 1:
        return (value,)
    return build.ops("Split", value, build.integers([size] * count), attributes={"axis": -1}, outputs=count)


def _with(build: Builder, value: ir.Value, bias: ir.Value | None) -> ir.Value:
    return value if bias is None else build.op("Add", value, bias)


def _times(build: Builder, layer: _Layer, state: ir.Value, weight: ir.Value, gates: int) -> ir.Value:
    """State [B, H] times weight [H, gates * H]; nothing where the state is zero, as the first one mostly is."""
    first = constant_array(state)
    if first is not None and not first.any():
        return build.constant(np.zeros((first.shape[0], gates * layer.size), np.float32))
    return build.op("MatMul", state, weight)


def _rnn(build: Builder, layer: _Layer, gates: ir.Value, states: tuple[ir.Value, ...]) -> tuple[ir.Value, ...]:
    recurrent = _with(build, _times(build, layer, states[0], layer.recurrence, 1), layer.recurrent_bias)
    return (build.op(layer.activations[0], build.op("Add", gates, recurrent)),)


def _lstm(build: Builder, layer: _Layer, gates: ir.Value, states: tuple[ir.Value, ...]) -> tuple[ir.Value, ...]:
    """Gates i, o, f, c."""
    hidden, cell = states
    sigmoid, squash, out = layer.activations
    recurrent = _with(build, _times(build, layer, hidden, layer.recurrence, 4), layer.recurrent_bias)
    i, o, f, c = _pieces(build, build.op("Add", gates, recurrent), 4, layer.size)
    if layer.peepholes:
        i = build.op("Add", i, build.op("Mul", layer.peepholes[0], cell))
        f = build.op("Add", f, build.op("Mul", layer.peepholes[2], cell))
    kept = build.op("Mul", build.op(sigmoid, f), cell)
    cell = build.op("Add", kept, build.op("Mul", build.op(sigmoid, i), build.op(squash, c)))
    if layer.peepholes:
        o = build.op("Add", o, build.op("Mul", layer.peepholes[1], cell))
    return build.op("Mul", build.op(sigmoid, o), build.op(out, cell)), cell


def _gru(build: Builder, layer: _Layer, gates: ir.Value, states: tuple[ir.Value, ...]) -> tuple[ir.Value, ...]:
    """Gates z, r, h."""
    (hidden,), (sigmoid, squash) = states, layer.activations
    z, r, h = _pieces(build, gates, 3, layer.size)
    weights = _pieces(build, layer.recurrence, 3, layer.size)
    biases = (None, None, None) if layer.recurrent_bias is None else _pieces(build, layer.recurrent_bias, 3, layer.size)
    z = build.op(sigmoid, build.op("Add", z, _with(build, _times(build, layer, hidden, weights[0], 1), biases[0])))
    r = build.op(sigmoid, build.op("Add", r, _with(build, _times(build, layer, hidden, weights[1], 1), biases[1])))
    if layer.linear_before_reset:
        recurrent = build.op("Mul", r, _with(build, _times(build, layer, hidden, weights[2], 1), biases[2]))
    else:
        scaled = hidden if constant_array(hidden) is not None else build.op("Mul", r, hidden)  # a constant state is zero
        recurrent = _with(build, _times(build, layer, scaled, weights[2], 1), biases[2])
    h = build.op(squash, build.op("Add", h, recurrent))
    return (build.op("Add", h, build.op("Mul", z, build.op("Sub", hidden, h))),)


# Operator -> gates, default activations, step.
_KINDS: Mapping[str, tuple[int, tuple[str, ...], _Step]] = MappingProxyType(
    {
        "GRU": (3, ("Sigmoid", "Tanh"), _gru),
        "LSTM": (4, ("Sigmoid", "Tanh", "Tanh"), _lstm),
        "RNN": (1, ("Tanh",), _rnn),
    }
)
