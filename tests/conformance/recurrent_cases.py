"""Cases of UNIDIRECTIONAL_SEQUENCE_LSTM, as onnx2tf writes it: time first, no peepholes, no projection."""

from collections.abc import Iterator, Mapping

import numpy as np
from case_data import DATA, Case, normal, weight
from one_op import OneOp

GATES = "ifco"  # input, forget, cell, output
STEPS, BATCH, INPUTS, UNITS = 5, 2, 6, 8


def lstm(data: np.ndarray, *, units: int = UNITS, scales: Mapping[str, float] | None = None) -> OneOp:
    """An LSTM on [samples, steps, batch, inputs]; `scales` multiplies the weights of a gate."""
    _, steps, batch, inputs = data.shape
    constants = {}
    for position, gate in enumerate(GATES):
        factor = np.float32((scales or {}).get(gate, 1.0))
        constants[1 + position] = factor * weight(units, inputs, key=("input", gate))
        constants[5 + position] = factor * weight(units, units, key=("recurrent", gate))
        constants[12 + position] = weight(units, key=("bias", gate))
    return OneOp(
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        {0: data},
        [(steps, batch, units)],
        constants,
        ("UnidirectionalSequenceLSTMOptions", {"fusedActivationFunction": 4, "timeMajor": True}),
        length=24,
        states={18: (batch, units), 19: (batch, units)},
    )


def recurrent_cases() -> Iterator[Case]:
    """All of this file."""
    for name, make in DATA.items():
        yield Case(name, lstm(make(STEPS, BATCH, INPUTS)))
    yield Case("one-step", lstm(normal(1, 1, INPUTS)))
    yield Case("one-unit", lstm(normal(STEPS, 1, 1), units=1))
    yield Case("per-gate", lstm(normal(STEPS, BATCH, INPUTS), scales={"i": 0.01, "f": 1.0, "c": 3.0, "o": 0.1}))
