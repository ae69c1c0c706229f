"""Metrics of classifiers: top-k accuracy and the area under the ROC curve."""

import math

import numpy as np

from bridge.errors import InputError
from bridge.task_metrics.metric import Outputs


class TopK:
    """Share of samples whose class is among the k best scores, 0..1. Among equal scores the first class counts, as with argmax.

    Truth: class per sample, counted as the output counts, from 0.
    """

    def __init__(self, output: str, k: int) -> None:
        self._output, self._k = output, k
        self._hits = self._count = 0

    def add(self, reference: Outputs, candidate: Outputs, truth: np.ndarray | None) -> None:
        """One sample: scores [C], with further axes of size 1."""
        output, label = candidate[self._output], _label(truth)
        scores = output.reshape(-1)
        if scores.size not in output.shape:
            raise InputError(
                f"top{self._k}: the output {self._output!r} is one score per class. Received: {list(output.shape)}.",
                hint="Name another: top1@OUTPUT.",
            )
        if not 0 <= label < scores.size:
            raise InputError(f"top{self._k}: the truth is class {label}, the output {self._output!r} has {scores.size} scores.", code="data-labels")
        better = np.count_nonzero(scores > scores[label]) + np.count_nonzero(scores[:label] == scores[label])
        self._hits += bool(better < self._k and not math.isnan(scores[label]))
        self._count += 1

    def result(self) -> float:
        """Hits over samples."""
        return self._hits / self._count if self._count else math.nan


class Auc:
    """Area under the ROC curve of a binary classifier, 0..1: the chance that a positive sample scores above a negative one, ties counting half.

    Truth: 0 or 1 per sample. The output has one score, or two, of which the last is that of class 1. NaN without samples of both classes.

    Source: J. A. Hanley, B. J. McNeil, "The meaning and use of the area under a ROC curve", 1982.
    """

    def __init__(self, output: str) -> None:
        self._output = output
        self._scores: list[float] = []
        self._labels: list[int] = []

    def add(self, reference: Outputs, candidate: Outputs, truth: np.ndarray | None) -> None:
        """One sample; its score is kept."""
        scores, label = candidate[self._output].reshape(-1), _label(truth)
        if scores.size > 2 or label not in (0, 1):
            raise InputError(
                f"auc: one or two scores and a truth of 0 or 1 are needed. Received: {scores.size} scores, truth {label}.", code="data-labels"
            )
        self._scores.append(float(scores[-1]))
        self._labels.append(label)

    def result(self) -> float:
        """By the ranks of the positive samples (Mann-Whitney)."""
        labels = np.array(self._labels)
        positive, negative = int((labels == 1).sum()), int((labels == 0).sum())
        if not positive or not negative or np.isnan(self._scores).any():
            return math.nan
        total = float(ranks(np.array(self._scores))[labels == 1].sum())
        return (total - positive * (positive + 1) / 2) / (positive * negative)


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((counts.cumsum() - (counts - 1) / 2)[inverse])


def _label(truth: np.ndarray | None) -> int:
    if truth is None or truth.size != 1 or not float(truth.item()).is_integer():
        raise InputError(
            f"The truth of a sample is one class index here. Received: {_described(truth)}.",
            hint="Save an array `labels` [samples].",
            code="data-labels",
        )
    return int(truth.item())


def _described(truth: np.ndarray | None) -> str:
    return "none" if truth is None else f"{truth.dtype.name} {list(truth.shape)}"
