"""`min_max`: the smallest and the largest value."""

from collections.abc import Sequence
from typing import Self

import numpy as np

from bridge.types import TensorRange


class MinMax:
    """Keeps nothing: the extents over all samples are the ranges."""

    def observe(self, extents: np.ndarray, values: Sequence[np.ndarray]) -> None:
        """Nothing to keep."""

    def merge(self, other: Self) -> None:
        """Nothing to merge."""

    def ranges(self, extents: Sequence[TensorRange]) -> list[TensorRange]:
        """The extents."""
        return list(extents)
