"""What a task metric is, and how a function of the user becomes one.

A function is called with one sample: `function(reference, candidate, truth) -> float`, and the mean over the samples counts. `reference` and `candidate`
map output names to arrays in the shape and layout of the user's model, the integers of a quantized file turned back into real numbers; `truth` is the
sample's row of the array `truth` in the evaluation data, else its class of `labels`, else None. Decorated with `@bridge.metric(whole=True)` it is called
once, with all samples stacked along a new first axis. Every metric is computed twice: for the quantized file, and with the reference in its place.
"""

import math
from collections.abc import Callable, Mapping
from typing import Literal, Protocol

import numpy as np
from msgspec import Struct

from bridge.errors import InputError

type Outputs = Mapping[str, np.ndarray]  # output name -> [*shape in the user's model]
type Function = Callable[..., object]  # (reference outputs, candidate outputs, truth) -> a number
type Better = Literal["higher", "lower"]

FIELD = "_bridge_metric"  # where the decorator keeps what it was told


class Score(Protocol):
    """Takes in one sample after another."""

    def add(self, reference: Outputs, candidate: Outputs, truth: np.ndarray | None) -> None:
        """One sample; the arrays are kept only where the metric needs all samples at once."""

    def result(self) -> float:
        """The metric over all samples so far; NaN where it is not defined."""


class TaskMetric(Struct, frozen=True):
    """A metric: its name, how a new score begins, which direction is better, its unit, and whether it needs to know the truth.

    `output` names the output it looks at; empty for a metric that chooses by itself.
    """

    name: str
    start: Callable[[], Score]
    better: Better = "higher"
    unit: str = ""
    needs_truth: bool = False
    output: str = ""


class Options(Struct, frozen=True):
    """What the decorator was told."""

    whole: bool = False
    better: Better = "higher"
    unit: str = ""
    needs_truth: bool = False


def metric[F: Function](
    *, whole: bool = False, better: Better = "higher", unit: str = "", needs_truth: bool = False
) -> Callable[[F], F]:  # fmt: skip
    """Says more about a function that is used as a task metric.

    Args:
        whole: call it once with all samples stacked, [samples, ...], instead of sample by sample.
        better: which direction is good.
        unit: shown behind the figure.
        needs_truth: refuse to run without `truth` or `labels` in the evaluation data.

    Returns:
        A decorator, which gives the function back.
    """

    def decorate(function: F) -> F:
        setattr(function, FIELD, Options(whole, better, unit, needs_truth))
        return function

    return decorate


def from_function(name: str, function: Function) -> TaskMetric:
    """The metric that a function computes."""
    options = getattr(function, FIELD, Options())
    kind = Whole if options.whole else Mean
    return TaskMetric(name, lambda: kind(name, function), options.better, options.unit, options.needs_truth)


class Mean:
    """The mean of a function over the samples."""

    def __init__(self, name: str, function: Function) -> None:
        self._name, self._function = name, function
        self._total, self._count = 0.0, 0

    def add(self, reference: Outputs, candidate: Outputs, truth: np.ndarray | None) -> None:
        """Calls the function."""
        self._total += _number(self._name, self._function, reference, candidate, truth)
        self._count += 1

    def result(self) -> float:
        """The mean."""
        return self._total / self._count if self._count else math.nan


class Whole:
    """A function over all samples at once, which are kept for it."""

    def __init__(self, name: str, function: Function) -> None:
        self._name, self._function = name, function
        self._rows: list[tuple[Outputs, Outputs, np.ndarray | None]] = []

    def add(self, reference: Outputs, candidate: Outputs, truth: np.ndarray | None) -> None:
        """Keeps the sample."""
        self._rows.append((reference, candidate, truth))

    def result(self) -> float:
        """Calls the function with everything."""
        if not self._rows:
            return math.nan
        references, candidates, truths = zip(*self._rows, strict=True)
        stacked = [{name: np.stack([row[name] for row in rows]) for name in rows[0]} for rows in (references, candidates)]
        return _number(self._name, self._function, *stacked, None if truths[0] is None else np.stack(truths))


def _number(name: str, function: Function, *arguments: object) -> float:
    try:
        value = function(*arguments)
    except InputError:
        raise
    except Exception as error:  # the user's own code, which may raise anything
        raise InputError(f"Metric {name} raised {type(error).__name__}: {' '.join(str(error).split())[:300]}") from error
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    if isinstance(value, str) or not hasattr(value, "__float__"):
        raise InputError(
            f"Metric {name} returned no number. Received: {type(value).__name__}.", hint="It returns one number, higher or lower is better."
        )
    return float(value)
