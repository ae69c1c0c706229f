"""Operands for conformance cases: random, edge and one-sided values, the same in every run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from one_op import OneOp

SAMPLES = 4

# Distance to the exact value in output steps. A kernel that rounds once is off by half a step; fixed-point multipliers of 31 bits and
# tables add a little to that. Two roundings (both inputs are rescaled first, or XNNPACK and the kernel round ties differently) make one step.
ONE_ROUNDING = 0.52
TWO_ROUNDINGS = 1.02
EXACT = {"steps": 1e-3, "rmse": 1e-3}  # values are copied; float32 has 24 bits for the exact value


@dataclass(frozen=True)
class Case:
    """A model, and how far its integer kernels may be off, in steps of the output: at most `steps`, in the mean of squares `rmse`.

    `int16` holds both for int16, whose steps are 256 times smaller; where it is missing, the same steps hold.
    """

    id: str
    model: OneOp
    steps: float = TWO_ROUNDINGS
    rmse: float = 0.45  # ideal rounding gives 0.29, two roundings 0.41
    int16: tuple[float, float] = (0.0, 0.0)

    def allowed(self, precision: str) -> tuple[float, float]:
        """Steps and RMSE."""
        return self.int16 if precision == "static_wi8_ai16" and any(self.int16) else (self.steps, self.rmse)


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
