"""Metrics of segmentation: mean intersection over union."""

import math

import numpy as np

from bridge.errors import InputError
from bridge.task_metrics.metric import Outputs

IGNORED = 255  # what PASCAL VOC writes where nobody knows the class


class MeanIou:
    """Mean over the classes in the truth of intersection over union, counted over the pixels of all samples together, 0..1.

    Truth: class per pixel [H, W]; 255 and what is no class of the output is left out. The output has one score per class and pixel, [C, H, W] or
    [H, W, C], or the class itself, [H, W].

    Source: Everingham et al., "The PASCAL Visual Object Classes Challenge: A Retrospective", 2015.
    """

    def __init__(self, output: str) -> None:
        self._output = output
        self._confusion = np.zeros((0, 0), np.int64)  # [true class, found class]

    def add(self, reference: Outputs, candidate: Outputs, truth: np.ndarray | None) -> None:
        """One sample."""
        if truth is None or truth.ndim != 2:
            received = "none" if truth is None else str(list(truth.shape))
            raise InputError(
                f"mean_iou: the truth of a sample is a class per pixel, [H, W]. Received: {received}.",
                hint="Save an array `truth` [N, H, W].",
                code="data-labels",
            )
        known = truth[(truth >= 0) & (truth != IGNORED)]
        found, classes = self._classes(candidate[self._output], truth.shape, int(known.max(initial=0)) + 1)
        usable = (truth >= 0) & (truth != IGNORED) & (truth < classes)
        pairs = truth[usable].astype(np.int64) * classes + found[usable]
        counts = np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)
        self._confusion = _grown(self._confusion, classes) + _grown(counts, len(self._confusion))

    def result(self) -> float:
        """The mean; NaN without any pixel."""
        hit, true, found = np.diag(self._confusion), self._confusion.sum(1), self._confusion.sum(0)
        there = true > 0
        return float((hit[there] / (true + found - hit)[there]).mean()) if there.any() else math.nan

    def _classes(self, scores: np.ndarray, shape: tuple[int, ...], true_classes: int) -> tuple[np.ndarray, int]:
        """The class of each pixel, and how many classes there are; an output of classes may name fewer than the truth."""
        if scores.size == math.prod(shape):
            found = scores.reshape(shape).astype(np.int64)
            return found, max(int(found.max(initial=0)) + 1, true_classes)
        fitting = [axis for axis in range(scores.ndim) if _rest(scores.shape, axis) == shape]
        if len(fitting) == 1:
            return scores.argmax(fitting[0]).reshape(shape), scores.shape[fitting[0]]
        if fitting:
            raise InputError(f"mean_iou: output {self._output!r} {list(scores.shape)}: axes {fitting} may all be that of the classes.")
        raise InputError(
            f"mean_iou: output {self._output!r} {list(scores.shape)} has no score per class for a truth of {list(shape)}.", code="data-labels"
        )


def _rest(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    """The shape without an axis, and without a batch axis of 1."""
    rest = shape[:axis] + shape[axis + 1 :]
    return rest[1:] if len(shape) == 4 and axis and shape[0] == 1 else rest


def _grown(confusion: np.ndarray, classes: int) -> np.ndarray:
    more = max(0, classes - len(confusion))
    return np.pad(confusion, ((0, more), (0, more)))
