"""What is kept of every tensor while the samples stream by, and how a range is made of it at the end."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Protocol, Self

import numpy as np

from bridge.types import TensorRange

QUARTERS = 4  # the samples in four parts, so that one can see whether the ranges still grow

PIECE = 1 << 16  # elements whose minimum and maximum are taken in turn: the second reads the processor's cache, not the memory


class Observer(Protocol):
    """Watches all tensors of one worker; the workers' observers are merged, and the result must not depend on who saw which sample.

    Attributes:
        extents_suffice: whether the minimum and maximum of a tensor may stand for its values.
    """

    extents_suffice: ClassVar[bool]

    def observe(self, position: int, values: Sequence[np.ndarray]) -> None:
        """Takes in one sample.

        Args:
            position: number of the sample, from 0.
            values: what each tensor holds: float arrays of any shape, valid only during the call.
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

    extents_suffice: ClassVar[bool] = True

    def __init__(self, tensors: int, samples: int) -> None:
        self._samples = samples
        self._lows = np.full((QUARTERS, tensors), np.inf)
        self._highs = np.full((QUARTERS, tensors), -np.inf)
        self._non_finite = np.zeros(tensors, np.int64)

    def observe(self, position: int, values: Sequence[np.ndarray]) -> None:
        """Widens the extents of the sample's quarter."""
        # Hundreds of tensors per sample: what NumPy takes for one call on a small array counts, so the loop does no more than it must.
        extents = np.array([_extent(value) for value in values], np.float64).reshape(-1, 2)
        if not np.isfinite(extents).all():
            for tensor in np.flatnonzero(~np.isfinite(extents).all(axis=1)).tolist():
                extents[tensor] = _finite_extent(values[tensor])
                self._non_finite[tensor] += values[tensor].size > 0
        quarter = position * QUARTERS // self._samples
        np.minimum(self._lows[quarter], extents[:, 0], out=self._lows[quarter])
        np.maximum(self._highs[quarter], extents[:, 1], out=self._highs[quarter])

    def merge(self, other: Self) -> None:
        """Widens by the extents of the other."""
        np.minimum(self._lows, other._lows, out=self._lows)
        np.maximum(self._highs, other._highs, out=self._highs)
        self._non_finite += other._non_finite

    def ranges(self) -> list[TensorRange]:
        """The extents over all samples."""
        pairs = zip(self._lows.min(axis=0).tolist(), self._highs.max(axis=0).tolist(), strict=True)
        return [TensorRange(low, high) if low <= high else TensorRange(0.0, 0.0) for low, high in pairs]

    def growth(self) -> np.ndarray:
        """Share of the final width that was not there after three quarters; 0 for a tensor without width."""
        lows, highs = self._lows, self._highs
        seen = np.isfinite(lows[:-1]).any(axis=0)
        width = np.where(seen, highs.max(axis=0), 0.0) - np.where(seen, lows.min(axis=0), 0.0)
        before = np.where(seen, highs[:-1].max(axis=0), 0.0) - np.where(seen, lows[:-1].min(axis=0), 0.0)
        return np.where(width > 0.0, 1.0 - before / np.where(width > 0.0, width, 1.0), 0.0)

    def non_finite(self) -> dict[int, int]:
        """Counted by sample."""
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


OBSERVERS: Mapping[str, type[MinMax]] = MappingProxyType({"min_max": MinMax})
