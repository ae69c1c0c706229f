"""What is compared on."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np


class Samples(Protocol):
    """Samples of the user, read one at a time and maybe from several threads."""

    @property
    def labels(self) -> np.ndarray | None:
        """[N] class per sample, None when the truth is unknown."""

    def __len__(self) -> int: ...

    def __getitem__(self, position: int) -> Mapping[str, np.ndarray]:
        """Input name -> array of the input's full shape."""


class NamedSamples(Samples, Protocol):
    """Samples that a person can find again."""

    def name_of(self, position: int) -> str:
        """The sample's file, or its row in the data that were given."""


def spread(total: int, count: int) -> tuple[int, ...]:
    """At most `count` positions spread evenly over `total`: data are often sorted by class."""
    if total <= count:
        return tuple(range(total))
    return tuple(position * total // count for position in range(count))
