"""How near what a quantized file computes is to what the float file computes, and whether a difference is more than chance."""

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

HIGHEST_DB, LOWEST_DB = 120.0, -60.0  # beyond float32 rounding there is nothing to gain; a lost signal is lost
WORST_MAY_LOSE_DB = 0.1


class Score(Struct, frozen=True, eq=False):
    """Squared sums of several tensors over the same samples.

    Attributes:
        signal: [tensors] float64.
        noise: [samples, tensors] float64.
    """

    signal: np.ndarray
    noise: np.ndarray

    @property
    def each_db(self) -> np.ndarray:
        """[tensors] SQNR in dB: free of scale, so that boxes do not drown scores."""
        with np.errstate(divide="ignore", invalid="ignore"):
            found = 10 * np.log10(self.signal / self.noise.sum(0))
        clipped: np.ndarray = np.clip(np.nan_to_num(found, nan=LOWEST_DB, posinf=HIGHEST_DB, neginf=LOWEST_DB), LOWEST_DB, HIGHEST_DB)
        return clipped

    @property
    def mean_db(self) -> float:
        """What recovery maximises."""
        return float(self.each_db.mean())

    def beats(self, other: "Score", *, by_db: float = 0.0, errors: float = 0.0) -> bool:
        """Whether this is nearer on the whole, and the worst tensor has not paid for the others.

        Args:
            other: of the same samples.
            by_db: the gain must be larger.
            errors: the gain must be larger than so many of its standard errors over the samples: a gain that one sample makes is chance.
        """
        if not self.may_beat(other, by_db=by_db):
            return False
        gains = ((other.noise - self.noise) / np.maximum(other.noise.sum(0), np.finfo(np.float64).tiny)).sum(1)
        return bool(gains.sum() >= errors * gains.std() * math.sqrt(len(gains)))

    def may_beat(self, other: "Score", *, by_db: float = 0.0) -> bool:
        """Whether this can beat another with the noise of samples that are still to come, which adds to what is here."""
        each, others = self.each_db, other.each_db
        return bool(each.mean() > others.mean() + by_db and each.min() >= others.min() - WORST_MAY_LOSE_DB)


def score(expected: Sequence[Sequence[np.ndarray]], received: Sequence[Sequence[np.ndarray]]) -> Score:
    """Scores values, both given as [samples][tensors] float32."""
    rows, others = ([[value.reshape(1, -1) for value in sample] for sample in values] for values in (expected, received))
    return Score(signal(rows), noise(rows, others))


def signal(expected: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """[tensors] squared sums of values given as [batches][tensors], each [samples, ...] float32."""
    found: np.ndarray = np.array([[float(np.square(value, dtype=np.float64).sum()) for value in batch] for batch in expected]).sum(0)
    return found


def noise(expected: Sequence[Sequence[np.ndarray]], received: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """[samples, tensors] squared sums of differences, both given as for `signal`."""
    return np.concatenate([np.stack([_noise(*pair) for pair in zip(*batch, strict=True)], axis=1) for batch in zip(expected, received, strict=True)])


def _noise(expected: np.ndarray, received: np.ndarray) -> np.ndarray:
    difference = (expected.astype(np.float64) - received).reshape(len(expected), -1)
    found: np.ndarray = np.square(difference, out=difference).sum(axis=1)
    return found
