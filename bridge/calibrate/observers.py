"""What is kept of every tensor while the samples stream by, and how a range is made of it at the end."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol, Self

import numpy as np

from bridge.types import TensorRange

QUARTERS = 4  # the samples in four parts, so that one can see whether the ranges still grow

PIECE = 1 << 16  # elements whose minimum and maximum are taken in turn: the second reads the processor's cache, not the memory


class Observer(Protocol):
    """Watches all tensors of one worker; the workers' observers are merged, and the result must not depend on who saw which sample."""

    def observe(self, tensor: int, position: int, value: np.ndarray) -> None:
        """Takes in one value: a float array of any shape, valid only during the call.

        Args:
            tensor: number of the tensor, from 0.
            position: number of the sample, from 0.
            value: what the tensor holds for the sample.
        """

    def merge(self, other: Self) -> None:
        """Takes in all that another worker saw."""

    def ranges(self) -> list[TensorRange]:
        """The range of every tensor; (0, 0) for one without a finite value."""

    def growth(self) -> np.ndarray:
        """[tensors] by how much the last quarter of the samples widened each range, as a share of its final width."""

    def non_finite(self) -> dict[int, int]:
        """Tensor -> number of samples with NaN or infinity in it; ranges are over the finite values."""


class MinMax:
    """The smallest and largest finite value.

    Args:
        tensors: number of tensors.
        samples: number of samples there will be.
    """

    def __init__(self, tensors: int, samples: int) -> None:
        self._samples = samples
        # Lists, because Python floats compare faster than elements of arrays, and this runs once per tensor and sample.
        self._lows = [[math.inf] * tensors for _ in range(QUARTERS)]
        self._highs = [[-math.inf] * tensors for _ in range(QUARTERS)]
        self._non_finite: dict[int, int] = {}

    def observe(self, tensor: int, position: int, value: np.ndarray) -> None:
        """Widens the extent of the sample's quarter."""
        if value.size == 0:
            return
        low, high = _extent(value)
        if not math.isfinite(high - low):  # NaN in the value makes both NaN
            finite = value[np.isfinite(value)]
            if finite.size < value.size:
                self._non_finite[tensor] = self._non_finite.get(tensor, 0) + 1
            if finite.size == 0:
                return
            low, high = float(finite.min()), float(finite.max())
        quarter = position * QUARTERS // self._samples
        lows, highs = self._lows[quarter], self._highs[quarter]
        if low < lows[tensor]:
            lows[tensor] = low
        if high > highs[tensor]:
            highs[tensor] = high

    def merge(self, other: Self) -> None:
        """Widens by the extents of the other."""
        for mine, theirs in zip(self._lows, other._lows, strict=True):
            mine[:] = map(min, mine, theirs)
        for mine, theirs in zip(self._highs, other._highs, strict=True):
            mine[:] = map(max, mine, theirs)
        for tensor, count in other._non_finite.items():
            self._non_finite[tensor] = self._non_finite.get(tensor, 0) + count

    def ranges(self) -> list[TensorRange]:
        """The extents over all samples."""
        lows, highs = np.min(self._lows, axis=0), np.max(self._highs, axis=0)
        return [TensorRange(float(low), float(high)) if low <= high else TensorRange(0.0, 0.0) for low, high in zip(lows, highs, strict=True)]

    def growth(self) -> np.ndarray:
        """Share of the final width that was not there after three quarters; 0 for a tensor without width."""
        lows, highs = np.array(self._lows), np.array(self._highs)
        seen = np.isfinite(lows[:-1]).any(axis=0)
        width = np.where(seen, highs.max(axis=0), 0.0) - np.where(seen, lows.min(axis=0), 0.0)
        before = np.where(seen, highs[:-1].max(axis=0), 0.0) - np.where(seen, lows[:-1].min(axis=0), 0.0)
        return np.where(width > 0.0, 1.0 - before / np.where(width > 0.0, width, 1.0), 0.0)

    def non_finite(self) -> dict[int, int]:
        """Counted by sample."""
        return dict(self._non_finite)


def _extent(value: np.ndarray) -> tuple[float, float]:
    """Minimum and maximum; NaN for a value with NaN in it."""
    flat = value.reshape(-1)
    if flat.size <= PIECE:
        return float(np.minimum.reduce(flat)), float(np.maximum.reduce(flat))
    pieces = [flat[start : start + PIECE] for start in range(0, flat.size, PIECE)]
    extents = np.array([(np.minimum.reduce(piece), np.maximum.reduce(piece)) for piece in pieces])
    return float(extents[:, 0].min()), float(extents[:, 1].max())


OBSERVERS: Mapping[str, type[MinMax]] = MappingProxyType({"min_max": MinMax})
