"""Task metrics while a comparison runs: every sample once, in order, for the float model and the candidate."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self

import numpy as np
from msgspec import Struct

from bridge.errors import UsageError
from bridge.task_metrics.find import AnyMetric, find_metrics
from bridge.task_metrics.metric import Better, Outputs, Score, TaskMetric


class TaskResult(Struct, frozen=True):
    """What a metric measured: of the candidate, and of the reference in its place. NaN where it is not defined."""

    name: str
    value: float
    float_value: float
    better: Better
    unit: str
    output: str
    samples: int


class Samples(Protocol):
    """Evaluation data."""

    @property
    def source(self) -> str:
        """Where they come from."""

    def truth_of(self, position: int) -> np.ndarray | None:
        """What is right for a sample, None where it is unknown."""


@dataclass(slots=True)
class Measurement:
    """Takes samples from several threads and hands them to the metrics in their order; what comes early waits.

    Attributes:
        metrics: what to measure.
        truth: of a sample by its position, None where it is unknown.
    """

    metrics: Sequence[TaskMetric]
    truth: Callable[[int], np.ndarray | None]
    _scores: list[tuple[Score, Score]] = field(init=False)  # of the candidate, of the reference
    _early: dict[int, tuple[Outputs, Outputs]] = field(init=False, default_factory=dict)
    _next: int = field(init=False, default=0)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._scores = [(metric.start(), metric.start()) for metric in self.metrics]

    @classmethod
    def of(cls, metrics: Sequence[AnyMetric], outputs: Sequence[str], samples: Samples) -> Self:
        """What the user asked for, on evaluation data.

        Raises:
            UsageError: a metric that does not exist, or needs a truth that the data do not have.
        """
        made = cls(find_metrics(metrics, outputs), samples.truth_of)
        for metric in made.metrics:
            if metric.needs_truth and samples.truth_of(0) is None:
                raise UsageError(
                    f"Metric {metric.name} needs the truth, and the evaluation data ({samples.source}) have none.",
                    hint="Save `labels` [samples] or `truth` [samples, ...] beside the inputs.",
                    code="data-labels",
                )
        return made

    @property
    def watch(self) -> Callable[[int, Outputs, Outputs], None] | None:
        """What takes in the samples; None where there is nothing to measure."""
        return self.add if self.metrics else None

    def add(self, position: int, reference: Outputs, candidate: Outputs) -> None:
        """One sample; the arrays are not changed, and not kept for longer than the metrics need them."""
        with self._lock:
            self._early[position] = (reference, candidate)
            while self._next in self._early:
                expected, received = self._early.pop(self._next)
                truth = self.truth(self._next)
                for score, score_of_reference in self._scores:
                    score.add(expected, received, truth)
                    score_of_reference.add(expected, expected, truth)
                self._next += 1

    def results(self) -> tuple[TaskResult, ...]:
        """One per metric."""
        return tuple(
            TaskResult(metric.name, score.result(), of_reference.result(), metric.better, metric.unit, metric.output, self._next)
            for metric, (score, of_reference) in zip(self.metrics, self._scores, strict=True)
        )
