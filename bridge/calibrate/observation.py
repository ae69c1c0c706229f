"""All that one worker sees: the extents of every tensor, and for each observer the tensors that are its own."""

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np

from bridge.calibrate.extents import Extents
from bridge.calibrate.observers import OBSERVERS, Observer, Setting
from bridge.class_scores import Scores, scores
from bridge.observer_names import parse_observer
from bridge.types import TensorRange


class Observation:
    """Observers of one worker.

    Args:
        observers: name of the observer of each tensor, such as `percentile:99.9`.
        bits: of each tensor's integer type.
        outputs: which tensors are outputs of the model, by position.

    Attributes:
        extents: of all tensors.
        scores: what each output says of the samples.
    """

    def __init__(self, observers: Sequence[str], bits: Sequence[int], outputs: Sequence[int] = ()) -> None:
        self.scores: dict[int, list[Scores | None]] = {tensor: [] for tensor in outputs}
        self.extents = Extents(len(observers))
        self._groups = [(members, _open(name, [bits[tensor] for tensor in members])) for name, members in _groups(observers).items()]

    def observe(self, position: int, values: Sequence[np.ndarray]) -> None:
        """Takes in one sample: its number from 0, and what each tensor holds, as values or, where no observer needs them, as an extent."""
        for tensor, seen in self.scores.items():
            seen.append(scores(values[tensor]))
        extents, strange = self.extents.observe(position, values)
        finite = list(values)
        for tensor in strange:
            finite[tensor] = finite[tensor][np.isfinite(finite[tensor])]
        for members, observer in self._groups:
            observer.observe(extents[members], [finite[tensor] for tensor in members])

    def merge(self, other: Self) -> None:
        """Takes in all that another worker saw."""
        self.extents.merge(other.extents)
        for tensor, seen in other.scores.items():
            self.scores[tensor] += seen
        for (_, mine), (_, theirs) in zip(self._groups, other._groups, strict=True):
            mine.merge(theirs)

    def ranges(self) -> list[TensorRange]:
        """The range of every tensor."""
        found = self.extents.ranges()
        for members, observer in self._groups:
            for tensor, extent in zip(members, observer.ranges([found[tensor] for tensor in members]), strict=True):
                found[tensor] = extent
        return found


def _groups(observers: Sequence[str]) -> Mapping[str, list[int]]:
    found: dict[str, list[int]] = {}
    for tensor, name in enumerate(observers):
        found.setdefault(name, []).append(tensor)
    return found


def _open(text: str, bits: Sequence[int]) -> Observer:
    name, percentile = parse_observer(text)
    return OBSERVERS[name](Setting(tuple(bits), percentile))
