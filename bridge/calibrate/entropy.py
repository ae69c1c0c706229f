"""`entropy`: the clipping that loses the least information, as TensorRT chooses it.

Source: S. Migacz, "8-bit Inference with TensorRT", GTC 2017; NVIDIA's pytorch-quantization, `_compute_amax_entropy`, is the same with the levels of a
candidate split evenly. A candidate keeps the first i bins of the magnitudes. Reference: these bins, what is beyond them added to the last. Candidate
distribution: the same bins without that, merged to the levels of the integer type and spread again over the bins that are not empty. The candidate with
the smallest Kullback-Leibler divergence wins, of equal ones the widest.
"""

import functools
from collections.abc import Sequence
from typing import Self

import numpy as np

from bridge.calibrate.linear_bins import BINS, LinearBins
from bridge.types import TensorRange


class Entropy:
    """Counts magnitudes.

    Args:
        bits: of each tensor's integer type. Its levels are those of one sign, or all where a tensor has only one sign.
    """

    def __init__(self, bits: Sequence[int]) -> None:
        self._bits = tuple(bits)
        self._bins = LinearBins(len(self._bits))

    def observe(self, extents: np.ndarray, values: Sequence[np.ndarray]) -> None:
        """Counts the magnitudes."""
        self._bins.add(extents, values)

    def merge(self, other: Self) -> None:
        """Adds the other's counts."""
        self._bins.merge(other._bins)

    def ranges(self, extents: Sequence[TensorRange]) -> list[TensorRange]:
        """The extents, clipped at one magnitude on both sides."""
        return [self._range(tensor, extent) for tensor, extent in enumerate(extents)]

    def _range(self, tensor: int, extent: TensorRange) -> TensorRange:
        one_sided = extent.minimum >= 0.0 or extent.maximum <= 0.0
        levels = 1 << (self._bits[tensor] if one_sided and self._bits[tensor] == 8 else self._bits[tensor] - 1)
        counts, width = self._bins.histogram(tensor)
        if len(counts) <= levels:  # each bin has a level of its own: no clipping loses less than none
            return extent
        limit = width * best_bins(counts, levels)
        return TensorRange(max(extent.minimum, -limit), min(extent.maximum, limit))


def best_bins(counts: np.ndarray, levels: int) -> int:
    """How many of the bins to keep.

    Args:
        counts: [bins] of magnitudes, more than `levels`, the last not empty.
        levels: of the integer type.
    """
    weights = counts.astype(np.float64)
    kept = np.arange(levels, len(weights) + 1)  # of each candidate
    sums, filled, own = (np.concatenate([[0.0], np.cumsum(part)]) for part in (weights, weights > 0.0, _x_log_x(weights)))
    borders = _borders(levels)[: len(kept)]
    level_sums, level_filled = np.diff(sums[borders]), np.diff(filled[borders])
    # sum over bins of p log q: within a level all filled bins have the same q, the level's sum over the number of its filled bins.
    log_q = np.log(np.where(level_sums > 0.0, level_sums / np.maximum(level_filled, 1.0), 1.0))
    last, beyond = weights[kept - 1], sums[-1] - sums[kept]
    p_log_p = own[kept] - _x_log_x(last) + _x_log_x(last + beyond)
    p_log_q = (level_sums * log_q).sum(axis=1) + beyond * log_q[:, -1]
    # Both are counts so far; p sums to all of them, q to those inside.
    divergence = (p_log_p - p_log_q) / sums[-1] + np.log(np.maximum(sums[kept], 1.0) / sums[-1])
    divergence[(last == 0.0) & (beyond > 0.0)] = np.inf  # p has something where q has nothing
    divergence[sums[kept] == 0.0] = np.inf
    divergence = np.round(divergence, 12)  # equal candidates differ by rounding
    return int(kept[len(kept) - 1 - int(np.argmin(divergence[::-1]))])


def _x_log_x(x: np.ndarray) -> np.ndarray:
    return x * np.log(np.where(x > 0.0, x, 1.0))


@functools.cache
def _borders(levels: int) -> np.ndarray:
    """[candidates, levels + 1] bin at which each level of each candidate begins."""
    kept = np.arange(levels, BINS + 1, dtype=np.int64)
    return kept[:, None] * np.arange(levels + 1, dtype=np.int64) // levels
