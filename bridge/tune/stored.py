"""Samples, and what the user's model computes for them, mapped from files."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from bridge.calibrate import Dataset
from bridge.compare.outputs import Outputs


class StoredSample(dict[str, np.ndarray]):
    """A sample that knows its position."""

    def __init__(self, values: Mapping[str, np.ndarray], position: int) -> None:
        super().__init__(values)
        self.position = position


@dataclass(frozen=True, slots=True, eq=False)
class StoredSamples:
    """Evaluation samples and what is right for them, mapped from files."""

    data: Dataset

    @property
    def labels(self) -> np.ndarray | None:
        """[N] class per sample, None when the truth is unknown."""
        return self.data.labels

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, position: int) -> StoredSample:
        return StoredSample(self.data[position], position)


@dataclass(frozen=True, slots=True, eq=False)
class StoredOutputs:
    """What the user's model computes for the samples of a workload: output name -> [N, *shape], mapped from a file."""

    values: Mapping[str, np.ndarray]

    def run(self, feeds: Mapping[str, np.ndarray], tensors: Iterable[str] | None = None) -> Outputs:
        """The outputs of those names for a `StoredSample`."""
        if not isinstance(feeds, StoredSample):
            raise TypeError("stored outputs are those of stored samples")
        return {name: self.values[name][feeds.position] for name in (self.values if tensors is None else tensors)}
