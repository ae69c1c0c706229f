"""How a quantized tensor uses its integers: channels that are lost or cut off, and outliers that leave the rest a few steps."""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct, field

LOOKED_AT = 1 << 16  # values of a sample that tell how many integers most of them take
INTEGERS = 256  # of int8
MOST = 0.999  # of the values
LEAST_CHANNELS = 4  # fewer are no channels but coordinates, colours or classes
# What all begin with; nobody writes into them.
_HIGHEST, _LOWEST = np.full(1, np.inf), np.full(1, -np.inf)
_LARGEST, _SMALLEST = np.full(1, np.iinfo(np.int32).max), np.full(1, np.iinfo(np.int32).min)
_NONE = np.zeros(1, np.int64)


class Usage(Struct):
    """What the samples tell of a tensor; channels are along the last axis of the file's layout.

    Attributes:
        low: smallest float value of each channel.
        high: the largest.
        stored_low: smallest integer of each channel.
        stored_high: the largest.
        cut_off: how many values of each channel lie far beyond the range.
        seen: values of each channel.
        samples: how many were taken in.
        counts: how often each of the 256 integers of an int8 tensor occurs, among those looked at.
    """

    low: np.ndarray = field(default_factory=lambda: _HIGHEST)
    high: np.ndarray = field(default_factory=lambda: _LOWEST)
    stored_low: np.ndarray = field(default_factory=lambda: _LARGEST)
    stored_high: np.ndarray = field(default_factory=lambda: _SMALLEST)
    cut_off: np.ndarray = field(default_factory=lambda: _NONE)
    seen: int = 0
    samples: int = 0
    counts: np.ndarray = field(default_factory=lambda: np.zeros(INTEGERS, np.int64))

    def add(self, value: np.ndarray, stored: np.ndarray) -> None:
        """Takes in one sample: float values, and the integers that the node computes for them."""
        channels = value.shape[-1] if value.ndim > 1 else 1
        rows, integers = value.reshape(-1, channels), stored.reshape(-1, channels)
        self.low, self.high = np.minimum(self.low, rows.min(axis=0)), np.maximum(self.high, rows.max(axis=0))
        self.stored_low = np.minimum(self.stored_low, integers.min(axis=0))
        self.stored_high = np.maximum(self.stored_high, integers.max(axis=0))
        self.seen, self.samples = self.seen + len(rows), self.samples + 1
        if stored.dtype == np.int8:
            flat = integers.reshape(-1)
            self.counts += np.bincount(flat[:: max(1, flat.size // LOOKED_AT)].view(np.uint8), minlength=INTEGERS)

    def cut(self, beyond: np.ndarray) -> None:
        """Counts the values that lie far beyond the range, for those samples that have any."""
        channels = beyond.shape[-1] if beyond.ndim > 1 else 1
        self.cut_off = self.cut_off + np.count_nonzero(beyond.reshape(-1, channels), axis=0)

    @property
    def channels(self) -> int:
        """How many there are, 0 where the last axis is none of channels."""
        return len(self.low) if self.seen and len(self.low) >= LEAST_CHANNELS else 0

    def dead(self) -> int:
        """Channels that have one and the same value in the float file."""
        return int(np.count_nonzero(self.low == self.high)) if self.channels else 0

    def lost(self) -> int:
        """Channels that have one and the same integer for float values that differ, all of them inside of the range."""
        if not self.channels:
            return 0
        return int(np.count_nonzero((self.high > self.low) & (self.stored_low == self.stored_high) & (self.cut_off == 0)))

    def saturated(self, share: float) -> int:
        """Channels of which more than `share` of the values lie beyond the range."""
        return int(np.count_nonzero(self.cut_off > share * self.seen)) if self.channels else 0

    def crowded(self) -> int | None:
        """How many of the 256 integers lie between the ends of all but a thousandth of the values; None for a wider type."""
        if not self.counts.any():
            return None
        ordered = np.roll(self.counts, 128)  # from -128 on
        cumulated = np.cumsum(ordered) / ordered.sum()
        rest = (1.0 - MOST) / 2
        return int(np.searchsorted(cumulated, 1.0 - rest) - np.searchsorted(cumulated, rest, side="right") + 1)

    def width(self) -> int:
        """Integers from the smallest to the largest that occurs."""
        return int(self.stored_high.max() - self.stored_low.min() + 1) if self.seen else 0


class UsageOfMany:
    """`Usage` of tensors of one shape at once; small ones, of which every value is looked at.

    Args:
        tensors: how many.
    """

    def __init__(self, tensors: int) -> None:
        self._low, self._high = _HIGHEST, _LOWEST  # [tensors, channels] from the first sample on
        self._stored_low, self._stored_high = _LARGEST, _SMALLEST
        self._seen = self._samples = 0
        self._counts = np.zeros((tensors, INTEGERS), np.int64)

    def add(self, values: np.ndarray, stored: np.ndarray) -> None:
        """Takes in one sample, [tensors, ...] each."""
        channels = values.shape[-1] if values.ndim > 2 else 1
        rows, integers = values.reshape(len(values), -1, channels), stored.reshape(len(values), -1, channels)
        self._low, self._high = np.minimum(self._low, rows.min(axis=1)), np.maximum(self._high, rows.max(axis=1))
        self._stored_low = np.minimum(self._stored_low, integers.min(axis=1))
        self._stored_high = np.maximum(self._stored_high, integers.max(axis=1))
        self._seen, self._samples = self._seen + rows.shape[1], self._samples + 1
        if stored.dtype == np.int8:
            places = integers.reshape(len(values), -1).view(np.uint8) + INTEGERS * np.arange(len(values))[:, None]
            self._counts += np.bincount(places.reshape(-1), minlength=self._counts.size).reshape(-1, INTEGERS)

    def settle(self, usages: Sequence[Usage]) -> None:
        """Adds what was seen to the usage of each tensor."""
        if not self._samples:
            return
        for place, one in enumerate(usages):
            one.low, one.high = np.minimum(one.low, self._low[place]), np.maximum(one.high, self._high[place])
            one.stored_low = np.minimum(one.stored_low, self._stored_low[place])
            one.stored_high = np.maximum(one.stored_high, self._stored_high[place])
            one.seen, one.samples = one.seen + self._seen, one.samples + self._samples
            one.counts += self._counts[place]
