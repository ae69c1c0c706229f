"""Recurrent operators step by step; the plain LSTM stays for TFLite's own operator."""

from typing import TypedDict

import numpy as np
import pytest
from onnx_text import Normalize

RANDOM = np.random.default_rng(10)
SIZE, INPUTS, STEPS = 5, 3, 4
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
STATES = {"RNN": ["h0"], "GRU": ["h0"], "LSTM": ["h0", "c0"]}


class Options(TypedDict, total=False):
    """What can vary about a model with one recurrent operator."""

    attributes: str
    directions: int
    state: str
    outputs: str
    peepholes: bool


def recurrent(
    op_type: str, *, attributes: str = "", directions: int = 1, batch: int = 1, state: str = "none", outputs: str = "y, h", peepholes: bool = False
) -> tuple[str, dict[str, np.ndarray]]:
    """Text and constants of a model with one recurrent operator; `state` is none, zero, constant or live."""
    width = GATES[op_type] * SIZE
    constants: dict[str, np.ndarray] = {
        "w": RANDOM.standard_normal((directions, width, INPUTS)).astype(np.float32),
        "r": RANDOM.standard_normal((directions, width, SIZE)).astype(np.float32) / 2,
        "b": RANDOM.standard_normal((directions, 2 * width)).astype(np.float32),
        "p": RANDOM.standard_normal((directions, 3 * SIZE)).astype(np.float32),
    }
    shapes = {"y": [STEPS, directions, batch, SIZE], "h": [directions, batch, SIZE], "c": [directions, batch, SIZE]}
    inputs, operands = [f"float[{STEPS}, {batch}, {INPUTS}] x"], ["x", "w", "r", "b", "", *["", ""]]
    for position, name in enumerate(STATES[op_type]):
        if state == "live":
            inputs.append(f"float{shapes['h']} {name}")
        elif state in ("zero", "constant"):
            constants[name] = np.full(shapes["h"], 0.0 if state == "zero" else 0.4, np.float32)
        operands[5 + position] = name if state != "none" else ""
    operands.append("p" if peepholes else "")
    while not operands[-1]:
        operands.pop()
    written = outputs.replace(" ", "").split(",")
    declared = ", ".join(f"float{shapes[name]} {name}" for name in written if name)
    call = f"{op_type}<hidden_size = {SIZE}{attributes}>({', '.join(operands)})"
    return f"({', '.join(inputs)}) => ({declared}) {{ [rnn] {', '.join(written)} = {call} }}", {
        name: constants[name] for name in operands if name in constants
    }


@pytest.mark.parametrize("op_type", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("state", ["constant", "live"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("batch", [1, 2])
def test_steps_equal_the_operator(normalized: Normalize, op_type: str, state: str, direction: str, batch: int) -> None:
    directions = 2 if direction == "bidirectional" else 1
    text, constants = recurrent(op_type, attributes=f', direction = "{direction}"', directions=directions, batch=batch, state=state)
    result = normalized(text, constants=constants)
    assert op_type not in result.ops
    first = 1 if state == "constant" else 0  # what the recurrence makes of a constant state is known
    assert result.ops.count("Gemm") == directions * (STEPS * (2 if op_type == "GRU" else 1) + 1 - first)
    assert [(node.name, node.op_type) for node in result.graph.nodes] == [("rnn", op_type)]
    assert result.worst_sqnr_db() > 100


@pytest.mark.parametrize(
    ("op_type", "options"),
    [
        ("GRU", {}),
        ("GRU", {"attributes": ", linear_before_reset = 1"}),
        ("GRU", {"attributes": ', linear_before_reset = 1, direction = "bidirectional"', "directions": 2}),
        ("RNN", {}),
        ("RNN", {"attributes": ', activations = ["Relu"]'}),
        ("LSTM", {"peepholes": True, "outputs": "y, h, c"}),
        ("LSTM", {"outputs": "y, h, c"}),
        ("LSTM", {"outputs": "y, , c", "state": "zero"}),
        ("LSTM", {"attributes": ', activations = ["Sigmoid", "Relu", "Tanh"]'}),
    ],
)
def test_variants_equal_the_operator(normalized: Normalize, op_type: str, options: Options) -> None:
    text, constants = recurrent(op_type, **options)
    result = normalized(text, constants=constants)
    assert op_type not in result.ops
    assert result.worst_sqnr_db() > 100


@pytest.mark.parametrize("state", ["none", "zero"])
def test_a_plain_lstm_stays_and_its_last_state_comes_from_the_sequence(normalized: Normalize, state: str) -> None:
    text, constants = recurrent("LSTM", state=state, outputs=", h")
    result = normalized(text, constants=constants)
    assert result.ops[:2] == ["LSTM", "Slice"]
    assert result.node("rnn").op_type == "LSTM"
    assert result.worst_sqnr_db() > 120


def test_the_last_states_of_two_directions_come_from_both_ends(normalized: Normalize) -> None:
    text, constants = recurrent("LSTM", attributes=', direction = "bidirectional"', directions=2, outputs="y, h")
    result = normalized(text, constants=constants)
    assert result.ops.count("LSTM") == 1
    assert result.worst_sqnr_db() > 120


@pytest.mark.parametrize("attributes", [", clip = 0.5", ', activations = ["HardSigmoid", "Tanh"]'])
def test_what_is_not_covered_stays(normalized: Normalize, attributes: str) -> None:
    text, constants = recurrent("GRU", attributes=attributes)
    assert "GRU" in normalized(text, constants=constants).ops


def test_full_sequence_lengths_change_nothing_and_shorter_ones_stay(normalized: Normalize) -> None:
    text, constants = recurrent("GRU")
    with_lengths = text.replace("x, w, r, b)", "x, w, r, b, lengths)")
    assert "GRU" not in normalized(with_lengths, constants=constants | {"lengths": np.array([STEPS], np.int32)}).ops
    assert "GRU" in normalized(with_lengths, constants=constants | {"lengths": np.array([STEPS - 1], np.int32)}).ops
