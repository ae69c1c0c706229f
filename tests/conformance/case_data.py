"""Operands for conformance cases: random, edge and one-sided values, the same in every run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np
from one_op import OneOp

SAMPLES = 4

# Distance to the exact value in output steps. A kernel that rounds once is off by half a step; fixed-point multipliers of 31 bits and
# tables add a little to that. Two roundings (both inputs are rescaled first, or XNNPACK and the kernel round ties differently) make one step.
ONE_ROUNDING = 0.52
TWO_ROUNDINGS = 1.02


class Allowed(TypedDict, total=False):
    """Fields of a case that say what its kernels may do."""

    steps: float
    rmse: float
    refused: Mapping[str, str]


def refusing(allowed: Allowed, refused: Mapping[str, str]) -> Allowed:
    """The same with refusals."""
    made = allowed.copy()
    made["refused"] = refused
    return made


EXACT: Allowed = {"steps": 1e-3, "rmse": 1e-3}  # values are copied; float32 has 24 bits for the exact value

# The same for int16, in its own steps. Kernels with sums multiply them by 16 bits, which is half a step at the end of the range, and the float32
# of the exact value is a part of a step.
INT16 = "static_wi8_ai16"
EXACT_INT16 = (0.02, 0.02)
FIXED_POINT_INT16 = (1.5, 0.6)
INT16_STEPS = {
    "DIV": (1.5, 1.02),  # a dividend of zero is one step off
    "SOFTMAX": (64.0, 12.0),  # adds up rounded exponentials: two steps for each of 32 entries, half a step of int8 in all
    "LOGISTIC": (1.5, 1.02),  # the output's last step, 32767 / 32768, is one below what saturates
    "TANH": (2.4, 1.02),  # a table of 512 entries, interpolated: by the scale of the input 2.0 to 2.34 steps were seen
    "GELU": (48.0, 4.0),  # a table of 513 entries with straight lines between them: off where the output saturates inside a line
}


@dataclass(frozen=True)
class Case:
    """A model, and how far its integer kernels may be off, in steps of the output: at most `steps`, in the mean of squares `rmse`.

    `refused` holds what the writer says instead where an operator with a row cannot have the kernel, by precision.
    """

    id: str
    model: OneOp
    steps: float = TWO_ROUNDINGS
    rmse: float = 0.45  # ideal rounding gives 0.29, two roundings 0.41
    refused: Mapping[str, str] = field(default_factory=dict)

    def allowed(self, precision: str) -> tuple[float, float]:
        """Steps and RMSE."""
        if precision != INT16:
            return self.steps, self.rmse
        return EXACT_INT16 if self.steps == EXACT["steps"] else INT16_STEPS.get(self.model.op, FIXED_POINT_INT16)


def rng(*key: object) -> np.random.Generator:
    """A generator of its own for every key."""
    return np.random.default_rng([ord(letter) for letter in repr(key)])


def normal(*shape: int, scale: float = 1.0, shift: float = 0.0, key: object = 0) -> np.ndarray:
    """[SAMPLES, *shape] float32."""
    return (shift + scale * rng(shape, key).standard_normal((SAMPLES, *shape))).astype(np.float32)


def weight(*shape: int, scale: float = 0.3, key: object = 1) -> np.ndarray:
    """A constant of that shape, float32."""
    return (scale * rng(shape, key).standard_normal(shape)).astype(np.float32)


def ints(*values: int | Sequence[int]) -> np.ndarray:
    """A constant int32 vector, or a matrix of its rows."""
    return np.asarray(values, np.int32)


# Values an activation can have: ordinary, all negative (stays negative: the range is widened to zero), all zero, tiny, huge, one-sided with outliers.
DATA: Mapping[str, Callable[..., np.ndarray]] = {
    "normal": lambda *shape: normal(*shape),
    "negative": lambda *shape: -np.abs(normal(*shape, key=2)) - 3,
    "zero": lambda *shape: np.zeros((SAMPLES, *shape), np.float32),
    "tiny": lambda *shape: normal(*shape, scale=1e-6, key=3),
    "huge": lambda *shape: normal(*shape, scale=1e5, key=4),
    "outlier": lambda *shape: np.where(rng(shape, 5).random((SAMPLES, *shape)) < 0.02, 30, np.abs(normal(*shape, key=6))).astype(np.float32),
}
