"""What the observers have in common, and the table of them."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol, Self

import numpy as np
from msgspec import Struct

from bridge.calibrate.entropy import Entropy
from bridge.calibrate.mean_extent import MeanExtent
from bridge.calibrate.min_max import MinMax
from bridge.calibrate.mse import LeastError
from bridge.calibrate.percentile import Percentile
from bridge.observer_names import parse_observer
from bridge.types import TensorRange


class Observer(Protocol):
    """Makes ranges of what it sees of some tensors, for one worker; the result must not depend on which worker saw which sample, nor in what order."""

    def observe(self, extents: np.ndarray, values: Sequence[np.ndarray]) -> None:
        """Takes in one sample.

        Args:
            extents: [tensors, 2] smallest and largest finite value of each, upside down (inf, -inf) where there is none.
            values: the finite values of each tensor, float arrays of any shape, valid only during the call; for an observer in EXTENTS_SUFFICE
                maybe no more than the extent.
        """

    def merge(self, other: Self) -> None:
        """Takes in all that another worker saw."""

    def ranges(self, extents: Sequence[TensorRange]) -> list[TensorRange]:
        """The range of every tensor, inside its extents over all samples; (0, 0) for one without a finite value."""


class Setting(Struct, frozen=True):
    """What an observer is told besides its name.

    Attributes:
        bits: of each tensor's integer type: 8 means an asymmetric range of 256 steps, 16 a symmetric one of 65535.
        percentile: share of the values in percent that the range of `percentile` holds.
    """

    bits: tuple[int, ...]
    percentile: float


OBSERVERS: Mapping[str, Callable[[Setting], Observer]] = MappingProxyType(
    {
        "min_max": lambda setting: MinMax(),
        "moving_average": lambda setting: MeanExtent(len(setting.bits)),
        "percentile": lambda setting: Percentile(len(setting.bits), setting.percentile),
        "entropy": lambda setting: Entropy(setting.bits),
        "mse": lambda setting: LeastError(setting.bits),
    }
)
EXTENTS_SUFFICE = frozenset({"min_max", "moving_average"})


def needs_values(observer: str) -> bool:
    """Whether the observer, such as `percentile:99.9`, makes something of values that minimum and maximum do not tell.

    Raises:
        UsageError: there is no such observer.
    """
    return parse_observer(observer)[0] not in EXTENTS_SUFFICE
