"""Histograms of magnitudes with equal bins that start at 0 and double their width as larger values come.

The width is always a power of two, the smallest that lets the bins reach the largest magnitude so far. So bins of a finer width fall whole into those of
a coarser one, and the counts at the end are those of a histogram that knew the largest magnitude from the beginning.
"""

import math
from collections.abc import Sequence
from typing import Self

import numpy as np

BINS = 2048
PIECE = 1 << 16  # elements that stay in the processor's cache
FINEST = -126 - 11  # exponent of a width with which the smallest normal float32 is in the last bin; scaling by it stays inside float32


class LinearBins:
    """Counts for a number of tensors.

    Args:
        tensors: number of tensors.
    """

    def __init__(self, tensors: int) -> None:
        self._counts = np.zeros((tensors, BINS), np.int64)
        self._exponents = np.full(tensors, FINEST)  # the width of a bin is 2 ** exponent

    def add(self, extents: np.ndarray, values: Sequence[np.ndarray]) -> None:
        """Counts the values of each tensor.

        Args:
            extents: [tensors, 2] of these values.
            values: finite floats of any shape.
        """
        for tensor, (extent, value) in enumerate(zip(extents.tolist(), values, strict=True)):
            if not value.size:
                continue
            self._coarsen(tensor, width_exponent(max(-extent[0], extent[1], 0.0)))
            factor = np.float32(math.ldexp(1.0, int(-self._exponents[tensor]) // 2))
            rest = np.float32(math.ldexp(1.0, int(-self._exponents[tensor]) - int(-self._exponents[tensor]) // 2))
            flat, counts = np.asarray(value, np.float32).reshape(-1), self._counts[tensor]
            for start in range(0, flat.size, PIECE):
                magnitudes = np.abs(flat[start : start + PIECE])
                magnitudes *= factor  # in two steps, each a float32, since 2 ** 137 is none
                magnitudes *= rest
                counts += np.bincount(magnitudes.astype(np.intp), minlength=BINS)

    def merge(self, other: Self) -> None:
        """Adds the other's counts."""
        for tensor, exponent in enumerate(other._exponents.tolist()):
            self._coarsen(tensor, exponent)
            other._coarsen(tensor, int(self._exponents[tensor]))
        self._counts += other._counts

    def histogram(self, tensor: int) -> tuple[np.ndarray, float]:
        """[bins] counts up to the last bin that holds anything, and the width of a bin."""
        used = np.flatnonzero(self._counts[tensor])
        return self._counts[tensor, : used[-1] + 1 if used.size else 0], math.ldexp(1.0, int(self._exponents[tensor]))

    def _coarsen(self, tensor: int, exponent: int) -> None:
        """Doubles the width up to 2 ** exponent."""
        doublings = exponent - int(self._exponents[tensor])
        if doublings <= 0:
            return
        self._exponents[tensor] = exponent
        counts = self._counts[tensor]
        if doublings >= BINS.bit_length():
            counts[0], counts[1:] = counts.sum(), 0
            return
        merged = counts.reshape(-1, 1 << doublings).sum(axis=1) if doublings < BINS.bit_length() - 1 else counts.sum(keepdims=True)
        counts[: merged.size], counts[merged.size :] = merged, 0


def width_exponent(largest: float) -> int:
    """Exponent of the smallest width of which BINS reach beyond `largest`."""
    return max(math.frexp(largest)[1] - (BINS.bit_length() - 1), FINEST) if largest > 0.0 else FINEST
