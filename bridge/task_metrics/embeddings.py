"""Metrics of embeddings: how near they stay to the float model's, and whether they rank pairs as people do."""

import math

import numpy as np

from bridge.errors import InputError
from bridge.task_metrics.classification import ranks
from bridge.task_metrics.metric import Outputs


class Cosine:
    """Mean over the samples of the cosine between the candidate's and the reference's embedding, -1..1. No truth is needed."""

    def __init__(self, output: str) -> None:
        self._output = output
        self._total, self._count = 0.0, 0

    def add(self, reference: Outputs, candidate: Outputs, truth: np.ndarray | None) -> None:
        """One sample."""
        self._total += _cosine(reference[self._output], candidate[self._output])
        self._count += 1

    def result(self) -> float:
        """The mean."""
        return self._total / self._count if self._count else math.nan


class Spearman:
    """Rank correlation between the cosine of two embeddings and the similarity that people gave the pair, -1..1.

    Samples 2k and 2k + 1 are a pair; its similarity is the truth of the first. NaN where all cosines or all similarities are equal.

    Source: C. Spearman, "The proof and measurement of association between two things", 1904; used so in SentEval (Conneau and Kiela, 2018).
    """

    def __init__(self, output: str) -> None:
        self._output = output
        self._first: np.ndarray | None = None
        self._cosines: list[float] = []
        self._similarities: list[float] = []

    def add(self, reference: Outputs, candidate: Outputs, truth: np.ndarray | None) -> None:
        """One sample; of each pair two numbers are kept."""
        value = candidate[self._output]
        if self._first is not None:
            self._cosines.append(_cosine(self._first, value))
            self._first = None
            return
        if truth is None or truth.size != 1:
            raise InputError(
                "spearman: the truth of a sample is the similarity of its pair, one number.",
                hint="Save an array `truth` [samples].",
                code="data-labels",
            )
        self._first = value
        self._similarities.append(float(truth.item()))

    def result(self) -> float:
        """Pearson's correlation of the ranks."""
        if self._first is not None:
            raise InputError("spearman: samples 2k and 2k + 1 are a pair, so their number is even.", hint="Leave the last sample out.")
        one, other = ranks(np.array(self._cosines)), ranks(np.array(self._similarities))
        if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0 or np.isnan(self._cosines).any():
            return math.nan
        return float(np.corrcoef(one, other)[0, 1])


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    """NaN where one of both is zero."""
    x, y = one.reshape(-1).astype(np.float64), other.reshape(-1).astype(np.float64)
    norm = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / norm if norm else math.nan
