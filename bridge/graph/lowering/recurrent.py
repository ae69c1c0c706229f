"""GRU, RNN and LSTM, step by step, as Gemm, Sigmoid, Tanh, Mul and Add.

What onnx2tf 2.6.9 makes of them does not quantize: BATCH_MATMUL on constant weights for every gate of a GRU, and for an LSTM whose initial state
is computed a CONCATENATION of input and state (two ranges, one scale) in front of a BATCH_MATMUL. What stays is the LSTM that it turns into
UNIDIRECTIONAL_SEQUENCE_LSTM: zero initial state, default activations, no peepholes, last cell state not read.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import onnx_ir as ir
from msgspec import Struct

from bridge.graph.lowering.replacement import Builder, Replacement
from bridge.graph.values import constant_array, static_shape

MAX_STEPS = 256  # a step is about 15 operators; longer sequences stay as they are
_ACTIVATIONS = MappingProxyType({"sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu"})


class _Layer(Struct, frozen=True):
    """One direction of a recurrent operator.

    Attributes:
        weight: [gates * H, I]; applied to all steps at once.
        recurrence: [gates * H, H].
        bias: [2 * gates * H], of input and recurrence.
        peephole: [3 * H], empty without.
        activations: operator names.
        linear_before_reset: of a GRU.
    """

    size: int
    weight: np.ndarray
    recurrence: np.ndarray
    bias: np.ndarray
    peephole: np.ndarray
    activations: tuple[str, ...]
    linear_before_reset: bool


# (builder, layer, input part of the gates [B, gates * H], states) -> new states; the first one is the step's output.
type _Step = Callable[[Builder, _Layer, ir.Value, tuple[ir.Value, ...]], tuple[ir.Value, ...]]


class _Kind(Struct, frozen=True):
    states: int
    activations: tuple[str, ...]
    step: _Step


def lower(graph: ir.Graph, node: ir.Node) -> Replacement | None:
    """Source: ONNX RNN-14, GRU-14, LSTM-14; X [T, B, I], Y [T, D, B, H], Y_h and Y_c [D, B, H]."""
    kind = KINDS[node.op_type]
    shape = static_shape(node.inputs[0])
    layers = _layers(node, kind)
    if (
        shape is None
        or layers is None
        or shape[0] > MAX_STEPS
        or not _runs_to_the_end(node, shape[0])
        or (node.op_type == "LSTM" and _is_plain(node))
    ):
        return None
    build = Builder(graph, str(node.name))
    steps, batch, inputs = shape
    flat = build.op("Reshape", node.inputs[0], build.integers([steps * batch, inputs]))
    directions = []
    for index, layer in enumerate(layers):
        states = _initial(build, node, kind, index, batch, layer.size)
        directions.append(_run(build, kind, layer, flat, states, _order(node, index, steps)))
    outputs = _collect(build, directions, batch, layers[0].size)
    return build.done(*(value for value, _ in zip(outputs, node.outputs, strict=False)))


def _runs_to_the_end(node: ir.Node, steps: int) -> bool:
    lengths = node.inputs[4] if len(node.inputs) > 4 else None
    given = constant_array(lengths)
    return lengths is None or (given is not None and bool((given == steps).all()))


def _order(node: ir.Node, direction: int, steps: int) -> Sequence[int]:
    backwards = node.attributes.get_string("direction", "forward") == "reverse" or direction == 1
    return range(steps - 1, -1, -1) if backwards else range(steps)


def _is_plain(node: ir.Node) -> bool:
    """Whether onnx2tf writes UNIDIRECTIONAL_SEQUENCE_LSTM."""
    states = [value for value in node.inputs[5:7] if value is not None]
    zero = all(value.const_value is not None and not value.const_value.numpy().any() for value in states)
    peepholes = len(node.inputs) > 7 and node.inputs[7] is not None
    cell_is_read = len(node.outputs) > 2 and (bool(node.outputs[2].uses()) or node.outputs[2].is_graph_output())
    return zero and not peepholes and not cell_is_read and "activations" not in node.attributes


def _layers(node: ir.Node, kind: _Kind) -> list[_Layer] | None:
    """One per direction; None for what is not covered: weights that are computed, a clip, another layout or activation."""
    inputs = [*node.inputs, *[None] * (8 - len(node.inputs))]
    weight, recurrence, bias, peephole = (constant_array(inputs[index]) for index in (1, 2, 3, 7))
    if weight is None or recurrence is None or (inputs[3] is not None and bias is None):
        return None
    if any(name in node.attributes for name in ("clip", "activation_alpha", "activation_beta")):
        return None
    if node.attributes.get_int("layout", 0) or node.attributes.get_int("input_forget", 0):
        return None
    directions, width, size = recurrence.shape
    names = node.attributes.get_strings("activations", list(kind.activations * directions))
    activations = [_ACTIVATIONS.get(name.lower()) for name in names]
    if any(name is None for name in activations):
        return None
    count = len(kind.activations)
    return [
        _Layer(
            size=size,
            weight=weight[index],
            recurrence=recurrence[index],
            bias=np.zeros(2 * width, np.float32) if bias is None else bias[index],
            peephole=np.zeros(0, np.float32) if peephole is None else peephole[index],
            activations=tuple(str(name) for name in activations[index * count : (index + 1) * count]),
            linear_before_reset=bool(node.attributes.get_int("linear_before_reset", 0)),
        )
        for index in range(directions)
    ]


def _initial(build: Builder, node: ir.Node, kind: _Kind, direction: int, batch: int, size: int) -> tuple[ir.Value, ...]:
    """The states [B, H] before the first step."""
    states = []
    for given in (*node.inputs[5 : 5 + kind.states], *[None] * kind.states)[: kind.states]:
        if given is None:
            states.append(build.constant(np.zeros((batch, size), np.float32)))
        elif given.const_value is not None:
            states.append(build.constant(given.const_value.numpy()[direction]))
        else:
            one = build.op("Slice", given, build.integers([direction]), build.integers([direction + 1]), build.integers([0]))
            states.append(build.op("Reshape", one, build.integers([batch, size])))
    return tuple(states)


def _run(
    build: Builder, kind: _Kind, layer: _Layer, flat: ir.Value, states: tuple[ir.Value, ...], order: Sequence[int]
) -> tuple[dict[int, ir.Value], tuple[ir.Value, ...]]:
    """Outputs [B, H] per step, and the last states."""
    width = layer.bias.size // 2
    merged = layer.bias[:width] + (0 if layer.linear_before_reset else layer.bias[width:])
    gates = build.op("Gemm", flat, build.constant(layer.weight), build.constant(merged), attributes={"transB": 1})
    parts = build.ops("Split", gates, attributes={"axis": 0, "num_outputs": len(order)}, outputs=len(order)) if len(order) > 1 else (gates,)
    outputs: dict[int, ir.Value] = {}
    for step in order:
        states = kind.step(build, layer, parts[step], states)
        outputs[step] = states[0]
    return outputs, states


def _collect(build: Builder, directions: Sequence[tuple[dict[int, ir.Value], tuple[ir.Value, ...]]], batch: int, size: int) -> list[ir.Value]:
    """Y [T, D, B, H], then the last states [D, B, H]."""
    steps = len(directions[0][0])
    rows = [build.op("Reshape", outputs[step], build.integers([1, 1, batch, size])) for step in range(steps) for outputs, _ in directions]
    flat = rows[0] if len(rows) == 1 else build.op("Concat", *rows, attributes={"axis": 0})
    collected = [build.op("Reshape", flat, build.integers([steps, len(directions), batch, size]))]
    for index in range(len(directions[0][1])):
        last = [build.op("Reshape", states[index], build.integers([1, batch, size])) for _, states in directions]
        collected.append(last[0] if len(last) == 1 else build.op("Concat", *last, attributes={"axis": 0}))
    return collected


def _recur(build: Builder, layer: _Layer, state: ir.Value, rows: slice, *, bias: bool) -> ir.Value:
    """The state [B, H] times some gates' rows of the recurrence."""
    extra = [build.constant(layer.bias[layer.bias.size // 2 :][rows])] if bias else []
    return build.op("Gemm", state, build.constant(layer.recurrence[rows]), *extra, attributes={"transB": 1})


def _rnn_step(build: Builder, layer: _Layer, gates: ir.Value, states: tuple[ir.Value, ...]) -> tuple[ir.Value, ...]:
    """Source: ONNX RNN-14, Ht = f(Xt*(Wi^T) + Ht-1*(Ri^T) + Wbi + Rbi)."""
    return (build.op(layer.activations[0], build.op("Add", gates, _recur(build, layer, states[0], slice(None), bias=False))),)


def _gru_step(build: Builder, layer: _Layer, gates: ir.Value, states: tuple[ir.Value, ...]) -> tuple[ir.Value, ...]:
    """Source: ONNX GRU-14; gate order z, r, h."""
    (state,), size, (first, second) = states, layer.size, layer.activations
    update_reset, candidate = build.ops("Split", gates, build.integers([2 * size, size]), attributes={"axis": 1}, outputs=2)
    recurred = _recur(build, layer, state, slice(0, 2 * size), bias=layer.linear_before_reset)
    update, reset = build.ops(
        "Split", build.op(first, build.op("Add", update_reset, recurred)), build.integers([size, size]), attributes={"axis": 1}, outputs=2
    )
    if layer.linear_before_reset:
        hidden = build.op("Mul", reset, _recur(build, layer, state, slice(2 * size, None), bias=True))
    else:
        hidden = _recur(build, layer, build.op("Mul", reset, state), slice(2 * size, None), bias=False)
    new = build.op(second, build.op("Add", candidate, hidden))
    # new + z * (state - new): the spec's two products in one
    return (build.op("Add", new, build.op("Mul", update, build.op("Sub", state, new))),)


def _lstm_step(build: Builder, layer: _Layer, gates: ir.Value, states: tuple[ir.Value, ...]) -> tuple[ir.Value, ...]:
    """Source: ONNX LSTM-14; gate order i, o, f, c; peepholes of i, o, f."""
    hidden, cell = states
    (first, second, third), size = layer.activations, layer.size
    total = build.op("Add", gates, _recur(build, layer, hidden, slice(None), bias=False))
    parts = build.ops("Split", total, build.integers([size] * 4), attributes={"axis": 1}, outputs=4)
    enter = build.op(first, _peep(build, layer, parts[0], cell, 0))
    forget = build.op(first, _peep(build, layer, parts[2], cell, 2))
    new_cell = build.op("Add", build.op("Mul", forget, cell), build.op("Mul", enter, build.op(second, parts[3])))
    leave = build.op(first, _peep(build, layer, parts[1], new_cell, 1))
    return build.op("Mul", leave, build.op(third, new_cell)), new_cell


def _peep(build: Builder, layer: _Layer, gate: ir.Value, cell: ir.Value, index: int) -> ir.Value:
    if not layer.peephole.size:
        return gate
    weight = layer.peephole[index * layer.size : (index + 1) * layer.size]
    return build.op("Add", gate, build.op("Mul", cell, build.constant(weight)))


KINDS: Mapping[str, _Kind] = MappingProxyType(
    {
        "RNN": _Kind(states=1, activations=("Tanh",), step=_rnn_step),
        "GRU": _Kind(states=1, activations=("Sigmoid", "Tanh"), step=_gru_step),
        "LSTM": _Kind(states=2, activations=("Sigmoid", "Tanh", "Tanh"), step=_lstm_step),
    }
)
