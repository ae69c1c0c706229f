"""Runs the methods one after the other, each on what the ones before it left, and takes back what does not help on other samples."""

import logging
from collections.abc import Sequence
from types import MappingProxyType

from msgspec import Struct

from bridge.errors import ToolError
from bridge.quantize.corrections import Corrections
from bridge.quantize.precisions import INTEGER_WEIGHTS, PRECISIONS
from bridge.recover.adaround import ADAROUND
from bridge.recover.bias_correction import BIAS_CORRECTION
from bridge.recover.method import Method
from bridge.recover.mse_weights import MSE_WEIGHTS
from bridge.recover.outcome import TOO_LITTLE, Outcome, judged
from bridge.recover.range_search import RANGE_SEARCH
from bridge.recover.trials import Job, State, Trials
from bridge.recovery_names import check_recovery
from bridge.types import Diagnostic, Ranges

NO_CORRECTIONS = Corrections()
logger = logging.getLogger(__name__)


class Recovered(Struct, frozen=True, eq=False):
    """What the quantizer is given, and how that came about."""

    ranges: Ranges | None
    corrections: Corrections = NO_CORRECTIONS
    outcomes: tuple[Outcome, ...] = ()

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """A sentence for each method."""
        return tuple(outcome.diagnostic() for outcome in self.outcomes)


def recover(job: Job, ranges: Ranges | None, methods: Sequence[str], *, ranges_given: bool) -> Recovered:
    """Better ranges and constants for a quantized file; the same arguments give the same result.

    Args:
        job: the file and its calibration samples.
        ranges: calibrated ranges, None where no activation becomes an integer.
        methods: names in any order; they run in the order of METHODS, without the one that changes the float file (`equalize`).
        ranges_given: the ranges are to stay as they are.

    Raises:
        UsageError: there is no such method.
        ToolError: LiteRT cannot run the float file.
    """
    chosen = [METHODS[name] for name in check_recovery(methods) if METHODS[name].run is not None]
    state = State(ranges)
    if not chosen or not any(PRECISIONS[name].weight in INTEGER_WEIGHTS for name in job.op_precisions):
        return Recovered(ranges)
    trials = Trials(job)
    outcomes = []
    for method in chosen:
        state, outcome = attempt(method, trials, state, ranges_given=ranges_given)
        outcomes.append(outcome)
        logger.info("%s", outcome.diagnostic().message)
    trials.graph.measured.forget_arrays()
    return Recovered(state.ranges, state.corrections, tuple(outcomes))


def attempt(method: Method, trials: Trials, state: State, *, ranges_given: bool) -> tuple[State, Outcome]:
    """The state after a method, and what it did; the state given where it does not help or LiteRT refuses a file of its trials."""
    try:
        return _attempt(method, trials, state, ranges_given=ranges_given)
    except ToolError as error:
        return state, Outcome(method.name, kept=False, reason=f"given up, {error.message.rstrip('.')}")


def _attempt(method: Method, trials: Trials, state: State, *, ranges_given: bool) -> tuple[State, Outcome]:
    if not trials.possible:
        return state, Outcome(method.name, kept=False, reason=TOO_LITTLE)
    if method.changes_ranges and ranges_given:
        return state, Outcome(method.name, kept=False, reason="not tried, the ranges were given")
    changed = state if method.run is None else method.run(trials, state)
    if changed is state:
        return state, Outcome(method.name, kept=False, reason="found nothing that helps")
    outcome = judged(method.name, trials.score(state, "check"), trials.score(changed, "check"), errors=method.errors)
    return (changed if outcome.kept else state), outcome


EQUALIZATION = Method("equalization", "channels of like range between two layers, in the float file", None)
METHODS = MappingProxyType({method.name: method for method in (EQUALIZATION, RANGE_SEARCH, MSE_WEIGHTS, ADAROUND, BIAS_CORRECTION)})
