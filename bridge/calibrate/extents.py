"""The smallest and largest finite value of every tensor: what all observers start from, and what shows whether ranges still grow."""

import math
from collections.abc import Sequence
from typing import Self

import numpy as np

from bridge.types import TensorRange

# The samples in four parts, so that one can see whether the ranges still grow. Every fourth sample belongs to the same part: files are often sorted by
# class, and ranges that a new class widens would look as if they grew.
QUARTERS = 4

PIECE = 1 << 16  # elements whose minimum and maximum are taken in turn: the second reads the processor's cache, not the memory


class Extents:
    """Watches all tensors of one worker.

    Args:
        tensors: number of tensors.
    """

    def __init__(self, tensors: int) -> None:
        self._lows = np.full((QUARTERS, tensors), np.inf)
        self._highs = np.full((QUARTERS, tensors), -np.inf)
        self._non_finite = np.zeros(tensors, np.int64)

    def observe(self, position: int, values: Sequence[np.ndarray]) -> tuple[np.ndarray, tuple[int, ...]]:
        """Widens the extents of the sample's quarter.

        Args:
            position: number of the sample, from 0.
            values: what each tensor holds: float arrays of any shape.

        Returns:
            [tensors, 2] smallest and largest finite value of each in this sample, upside down where there is none; and the tensors that hold others too.
        """
        # Hundreds of tensors per sample: what NumPy takes for one call on a small array counts, so the loop does no more than it must.
        extents = np.array([_extent(value) for value in values], np.float64).reshape(-1, 2)
        strange: tuple[int, ...] = ()
        if not np.isfinite(extents).all():
            strange = tuple(np.flatnonzero(~np.isfinite(extents).all(axis=1)).tolist())
            for tensor in strange:
                extents[tensor] = _finite_extent(values[tensor])
                self._non_finite[tensor] += values[tensor].size > 0
        quarter = position % QUARTERS
        np.minimum(self._lows[quarter], extents[:, 0], out=self._lows[quarter])
        np.maximum(self._highs[quarter], extents[:, 1], out=self._highs[quarter])
        return extents, strange

    def merge(self, other: Self) -> None:
        """Widens by the extents of the other."""
        np.minimum(self._lows, other._lows, out=self._lows)
        np.maximum(self._highs, other._highs, out=self._highs)
        self._non_finite += other._non_finite

    def ranges(self) -> list[TensorRange]:
        """The extents over all samples; (0, 0) for a tensor without a finite value."""
        pairs = zip(self._lows.min(axis=0).tolist(), self._highs.max(axis=0).tolist(), strict=True)
        return [TensorRange(low, high) if low <= high else TensorRange(0.0, 0.0) for low, high in pairs]

    def curve(self) -> np.ndarray:
        """[quarters, tensors] width of each range after so many quarters of the samples, as a share of its final width; 1 for a tensor without width."""
        lows, highs = np.minimum.accumulate(self._lows), np.maximum.accumulate(self._highs)
        seen = np.isfinite(lows)
        widths = np.where(seen, highs, 0.0) - np.where(seen, lows, 0.0)
        final = widths[-1]
        return np.where(final > 0.0, widths / np.where(final > 0.0, final, 1.0), 1.0)

    def non_finite(self) -> dict[int, int]:
        """Tensor -> number of samples with NaN or infinity in it."""
        return {int(tensor): int(self._non_finite[tensor]) for tensor in np.flatnonzero(self._non_finite)}


def _extent(value: np.ndarray) -> tuple[float, float]:
    """Minimum and maximum; NaN for a value with NaN in it, upside down for an empty one."""
    if value.size <= PIECE:
        return (np.minimum.reduce(value, None), np.maximum.reduce(value, None)) if value.size else (math.inf, -math.inf)
    flat = value.reshape(-1)
    pieces = [flat[start : start + PIECE] for start in range(0, flat.size, PIECE)]
    lows, highs = zip(*[(np.minimum.reduce(piece), np.maximum.reduce(piece)) for piece in pieces], strict=True)
    return np.minimum.reduce(lows), np.maximum.reduce(highs)


def _finite_extent(value: np.ndarray) -> tuple[float, float]:
    """Minimum and maximum of the finite elements, upside down when there is none."""
    finite = value[np.isfinite(value)]
    return (float(finite.min()), float(finite.max())) if finite.size else (math.inf, -math.inf)
