"""`mse`: the range with the least expected squared error of the tensor's own values after quantization."""

from collections.abc import Callable, Sequence
from typing import Self

import numpy as np

from bridge.calibrate.float_bins import Distribution, FloatBins
from bridge.types import TensorRange

COARSE = np.exp2(-np.arange(0, 21) / 2.0)  # shares of an extent that are tried: from all of it to a thousandth
FINE = np.exp2(np.linspace(-0.5, 0.5, 25))  # around the best of them: 3 % apart, as fine as the bins


class LeastError:
    """Counts all values.

    Args:
        bits: of each tensor's integer type: 8 has 255 steps between the ends of an asymmetric range, 16 has 65534 of a symmetric one.
    """

    def __init__(self, bits: Sequence[int]) -> None:
        self._bits = tuple(bits)
        self._bins = FloatBins(len(self._bits))

    def observe(self, extents: np.ndarray, values: Sequence[np.ndarray]) -> None:
        """Counts the values."""
        self._bins.add(values)

    def merge(self, other: Self) -> None:
        """Adds the other's counts."""
        self._bins.merge(other._bins)

    def ranges(self, extents: Sequence[TensorRange]) -> list[TensorRange]:
        """The best range of each tensor; always around 0, which every integer range holds."""
        return [
            least_error_range(self._bins.distribution(tensor, extent.minimum, extent.maximum), extent, bits)
            for tensor, (extent, bits) in enumerate(zip(extents, self._bits, strict=True))
        ]


def least_error_range(found: Distribution, extent: TensorRange, bits: int) -> TensorRange:
    """The best range inside the extents, by trying shares of them: of both ends together, then of each end alone."""
    low, high = min(extent.minimum, 0.0), max(extent.maximum, 0.0)
    if low == high or not found.counts.size:
        return extent
    if bits != 8:
        limit = max(-low, high)
        best = limit * _best(lambda shares: squared_errors(found, -limit * shares, limit * shares, steps=(1 << bits) - 2))
        return TensorRange(max(extent.minimum, -best), min(extent.maximum, best))

    def errors(low_shares: np.ndarray, high_shares: np.ndarray) -> np.ndarray:
        lows, highs = np.broadcast_arrays(low * low_shares, high * high_shares)
        return squared_errors(found, lows, highs, steps=(1 << bits) - 1)

    low_share = high_share = _best(lambda shares: errors(shares, shares))
    if low < 0.0 < high:
        for coarse in (COARSE, np.ones(1)):
            high_share = _best(lambda shares, kept=low_share: errors(np.array(kept), shares), coarse, high_share)  # type: ignore[misc]  # kept by value
            low_share = _best(lambda shares, kept=high_share: errors(shares, np.array(kept)), coarse, low_share)  # type: ignore[misc]
    return TensorRange(max(extent.minimum, low * low_share), min(extent.maximum, high * high_share))


def squared_errors(found: Distribution, lows: np.ndarray, highs: np.ndarray, *, steps: int) -> np.ndarray:
    """[candidates] sum over all values of the squared difference that rounding to multiples of the step and clipping to the range make.

    Values are taken as spread evenly over their interval, for which the integrals are known in closed form.

    Args:
        found: what the tensor holds.
        lows: [candidates] lower ends of the ranges, not above 0.
        highs: [candidates] upper ends, not below 0.
        steps: between the two ends.
    """
    lows, highs = lows[:, None], highs[:, None]
    step = np.maximum(highs - lows, np.finfo(np.float64).tiny) / steps
    start, end = found.lows[None], found.highs[None]
    inner = _cube(step) * (_rounding_integral(np.clip(end, lows, highs) / step) - _rounding_integral(np.clip(start, lows, highs) / step))
    below = (_cube(np.minimum(end - lows, 0.0)) - _cube(np.minimum(start - lows, 0.0))) / 3.0
    above = (_cube(np.maximum(end - highs, 0.0)) - _cube(np.maximum(start - highs, 0.0))) / 3.0
    width = end - start
    exact = (start - step * np.round(np.clip(start, lows, highs) / step)) ** 2
    mean = np.where(width > 0.0, (inner + below + above) / np.where(width > 0.0, width, 1.0), exact)
    return np.asarray(mean @ found.counts)


def _rounding_integral(t: np.ndarray) -> np.ndarray:
    """The integral of (u - round(u)) ** 2 from 0 to t."""
    whole = np.round(t)
    return np.asarray(whole / 12.0 + _cube(t - whole) / 3.0)


def _cube(x: np.ndarray) -> np.ndarray:
    return np.asarray(x * x * x)  # NumPy's `x**3` is pow, which makes the whole search eight times slower


def _best(errors: Callable[[np.ndarray], np.ndarray], coarse: np.ndarray = COARSE, around: float = 1.0) -> float:
    """The share with the smallest error, of equal ones the largest: first of the coarse ones, then of those around the best of them."""
    shares = coarse if coarse.size > 1 else np.array([around])
    if shares.size > 1:
        shares = np.array([shares[int(np.argmin(errors(shares)))]])
    fine = np.minimum(shares[0] * FINE[::-1], 1.0)
    return float(fine[int(np.argmin(errors(fine)))])
