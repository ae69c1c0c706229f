"""How `prepare` quantizes: the same words for every framework."""

from dataclasses import dataclass
from typing import Literal, get_args

from bridge.errors import UsageError

type RangeKind = Literal["moving_average", "learned"]
KINDS: tuple[str, ...] = get_args(RangeKind.__value__)
BITS = range(2, 9)
PRECISION = "static_wi8_ai8"  # of what is trained with its rounding


@dataclass(frozen=True, slots=True)
class Scheme:
    """What all quantizers of one model have in common.

    Attributes:
        per_channel: whether weights have a scale per output channel; clustered ones have one.
        weight_bits: of weights, 2 to 8; they are stored as int8.
        symmetric: whether activations have zero point 0.
        ranges: `moving_average`, of what passes in training; or `learned`, step sizes that are parameters (LSQ).

    Raises:
        UsageError: a value is none of these.
    """

    per_channel: bool = True
    weight_bits: int = 8
    symmetric: bool = False
    ranges: RangeKind = "moving_average"

    def __post_init__(self) -> None:
        if self.weight_bits not in BITS:
            raise UsageError(f"weight_bits: has to be {BITS[0]} to {BITS[-1]}. Received: {self.weight_bits!r}.")
        if self.ranges not in KINDS:
            raise UsageError(f"ranges: has to be one of {', '.join(KINDS)}. Received: {self.ranges!r}.")

    @property
    def most(self) -> int:
        """The largest stored weight; the smallest is its negative."""
        return int(2 ** (self.weight_bits - 1)) - 1
