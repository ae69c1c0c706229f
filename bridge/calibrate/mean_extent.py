"""`moving_average`: the mean of the samples' own extents.

Every sample counts alike (a cumulative moving average, as onnxruntime's calibrater has it): an exponential one depends on the order of the samples
and forgets all but the last of them.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np

from bridge.types import TensorRange

MANTISSA = 24  # bits of a float32
LEAST = -149 - MANTISSA  # exponent of the smallest float32, as `frexp` counts it, below the mantissa
SLOT = 16  # bits: a slot holds mantissas shifted by less than that, so an int64 takes 2 ** (63 - 24 - 16) of them
SLOTS = 18  # 18 * 16 bits reach from the smallest to the largest float32


class MeanExtent:
    """Sums the extents without rounding, in fixed point, so that the order of the samples makes no difference.

    Args:
        tensors: number of tensors.
    """

    def __init__(self, tensors: int) -> None:
        self._sums = np.zeros((tensors, 2, SLOTS), np.int64)  # value = sum over slots of sums * 2 ** (LEAST + SLOT * slot)
        self._counts = np.zeros(tensors, np.int64)
        self._rows = np.arange(tensors)

    def observe(self, extents: np.ndarray, values: Sequence[np.ndarray]) -> None:
        """Adds the extents of the sample, where it has any."""
        seen = extents[:, 0] <= extents[:, 1]
        self._counts += seen
        fractions, exponents = np.frexp(np.where(seen[:, None], extents, 0.0))
        mantissas = np.ldexp(fractions, MANTISSA).astype(np.int64)
        slots, shifts = np.divmod(np.where(mantissas == 0, LEAST, exponents - MANTISSA) - LEAST, SLOT)
        for side in (0, 1):
            self._sums[self._rows, side, slots[:, side]] += mantissas[:, side] << shifts[:, side]

    def merge(self, other: Self) -> None:
        """Adds the other's sums."""
        self._sums += other._sums
        self._counts += other._counts

    def ranges(self, extents: Sequence[TensorRange]) -> list[TensorRange]:
        """The mean of the minima and the mean of the maxima, each rounded once."""
        return [
            TensorRange(_quotient(low, count), _quotient(high, count)) if count else TensorRange(0.0, 0.0)
            for (low, high), count in zip(self._sums.tolist(), self._counts.tolist(), strict=True)
        ]


def _quotient(slots: list[int], count: int) -> float:
    total = sum(part << (SLOT * place) for place, part in enumerate(slots))
    return total / (count << -LEAST)  # Python divides integers of any size with one rounding
