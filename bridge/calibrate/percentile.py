"""`percentile`: the range that holds a share of all values, half of the rest cut off at each end."""

from collections.abc import Sequence
from typing import Self

import numpy as np

from bridge.calibrate.float_bins import Distribution, FloatBins
from bridge.types import TensorRange


class Percentile:
    """Counts all values; quantiles are linear inside a bin.

    Args:
        tensors: number of tensors.
        percentile: share of the values in percent, over all samples.
    """

    def __init__(self, tensors: int, percentile: float) -> None:
        self._bins = FloatBins(tensors)
        self._cut = (100.0 - percentile) / 200.0  # at each end

    def observe(self, extents: np.ndarray, values: Sequence[np.ndarray]) -> None:
        """Counts the values."""
        self._bins.add(values)

    def merge(self, other: Self) -> None:
        """Adds the other's counts."""
        self._bins.merge(other._bins)

    def ranges(self, extents: Sequence[TensorRange]) -> list[TensorRange]:
        """From the quantile of one end to that of the other."""
        return [self._range(self._bins.distribution(tensor, one.minimum, one.maximum)) for tensor, one in enumerate(extents)]

    def _range(self, found: Distribution) -> TensorRange:
        if not found.counts.size:
            return TensorRange(0.0, 0.0)
        return TensorRange(quantile(found, self._cut), quantile(found, 1.0 - self._cut))


def quantile(found: Distribution, share: float) -> float:
    """The value that `share` of all values do not exceed, between the order statistics around it as `numpy.quantile` has it."""
    reached = np.cumsum(found.counts)
    rank = share * (reached[-1] - 1.0)  # from 0 for the smallest value to count - 1 for the largest
    interval = min(int(np.searchsorted(reached, rank, side="right")), len(reached) - 1)
    before = reached[interval] - found.counts[interval]
    inside = (rank - before) / max(found.counts[interval] - 1.0, 1.0)
    low, high = found.lows[interval], found.highs[interval]
    return float(low + (high - low) * min(max(inside, 0.0), 1.0))
