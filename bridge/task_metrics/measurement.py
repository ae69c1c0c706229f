"""Task metrics while a comparison runs: every sample once, in order, for the float model and the candidate."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from bridge.errors import UsageError
from bridge.task_metrics.metric import Better, Outputs, Score, TaskMetric


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What a metric measured: of the candidate, and of the reference in its place. NaN where it is not defined."""

    name: str
    value: float
    float_value: float
    better: Better
    unit: str
    output: str
    samples: int


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

    def require_truth(self, *, source: str) -> None:
        """Refuses data without truth where a metric needs it.

        Raises:
            UsageError: names the metric.
        """
        for metric in self.metrics:
            if metric.needs_truth and self.truth(0) is None:
                raise UsageError(
                    f"Metric {metric.name} needs the truth, which {source} does not have.",
                    hint="Save `labels` [samples] or `truth` [samples, ...] beside the inputs.",
                )

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
