"""Histograms whose bins are the leading bits of a float32: sign, exponent and five bits of the mantissa.

The bins are the same for every tensor whatever its range, so nothing has to be known beforehand, counts of two workers just add up, and the order of
the samples makes no difference. A bin is a 32nd of its octave wide: a value is known to 3 %, beside an outlier of any size too.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
from msgspec import Struct

BINS = 1 << 14  # 1 sign, 8 exponent and 5 mantissa bits
NEGATIVE = BINS // 2  # the first bin of the negative values
SHIFT = 2  # of the upper half of a float32, down to these bits
SMALL = 1 << 13  # elements from which counting into an array of its own is faster than adding to single counts
PIECE = 1 << 16  # elements that stay in the processor's cache


class Distribution(Struct, frozen=True):
    """How often values in each interval occurred; the intervals are in ascending order and do not overlap.

    Attributes:
        lows: [intervals] float64, smallest value of each.
        highs: [intervals] float64, largest value of each; equal to `lows` for exact values.
        counts: [intervals] float64, positive.
    """

    lows: np.ndarray
    highs: np.ndarray
    counts: np.ndarray


class FloatBins:
    """Counts for a number of tensors.

    Args:
        tensors: number of tensors.
    """

    def __init__(self, tensors: int) -> None:
        self._counts = np.zeros((tensors, BINS), np.int64)

    def add(self, values: Sequence[np.ndarray]) -> None:
        """Counts the values of each tensor."""
        for counts, value in zip(self._counts, values, strict=True):
            flat = np.ascontiguousarray(value, np.float32).reshape(-1)
            if flat.size < SMALL:
                np.add.at(counts, _bins(flat).astype(np.intp), 1)
                continue
            for start in range(0, flat.size, PIECE):
                counts += np.bincount(_bins(flat[start : start + PIECE]), minlength=BINS)

    def merge(self, other: Self) -> None:
        """Adds the other's counts."""
        self._counts += other._counts

    def distribution(self, tensor: int, minimum: float, maximum: float) -> Distribution:
        """What was counted, the outermost intervals cut to the tensor's extents."""
        counts = self._counts[tensor]
        order = np.concatenate([np.flatnonzero(counts[NEGATIVE:])[::-1] + NEGATIVE, np.flatnonzero(counts[:NEGATIVE])])
        inner, outer = EDGES[order % NEGATIVE], EDGES[order % NEGATIVE + 1]
        negative = order >= NEGATIVE
        lows, highs = np.where(negative, -outer, inner), np.where(negative, -inner, outer)
        zero = order % NEGATIVE == 0  # from 0 to 2 ** -131: zeros, and what no scale tells from zero
        lows[zero] = highs[zero] = 0.0
        return Distribution(np.clip(lows, minimum, maximum), np.clip(highs, minimum, maximum), counts[order].astype(np.float64))


def _bins(flat: np.ndarray) -> np.ndarray:
    """The bin of each value: the upper half of its bits, without the last two of them."""
    return np.asarray(flat.view(np.uint16)[UPPER_HALF::2] >> SHIFT)


UPPER_HALF = int(np.array([1.0], np.float32).view(np.uint16)[1] != 0)  # 1 where the lower half of a float32 comes first in memory
INFINITE = 255 << 5  # bin of infinity: what lies behind are NaN, and only finite values are counted
EDGES = (np.minimum(np.arange(NEGATIVE + 1, dtype=np.uint32), INFINITE) << (16 + SHIFT)).view(np.float32).astype(np.float64)
