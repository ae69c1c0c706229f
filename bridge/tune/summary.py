"""What a search found, put into words and figures: the reason of each rule, the front, the command that converts with it."""

import shlex
from pathlib import Path

from bridge import frontends
from bridge.observer_names import DEFAULT_OBSERVER
from bridge.recovery_names import DEFAULT_RECOVERY
from bridge.tune.result import Member, Point, Trials, TuneReport, front, point
from bridge.tune.run import Outcome, Run
from bridge.tune.search import Found
from bridge.tune.space import FLOAT
from bridge.tune.trial import Spec

EXPLAINED = 24  # members that are measured one by one, for the reason of their rule
TIMED = 8  # points of the front whose latency is measured
RULES = "rules.toml"


def tune_report(run: Run, outcome: Outcome, folder: Path) -> TuneReport:
    """The report; measures what reasons and the front still miss, if nobody has interrupted."""
    workload, request = run.lab.workload, run.request
    members = tuple(
        _member(run, outcome, name, measure=place < EXPLAINED and not outcome.interrupted) for place, name in enumerate(outcome.best.assignment)
    )
    shown = front(run.history)
    best, timed = _best(run, outcome), [_timed(run, outcome, one) if place < TIMED else point(one) for place, one in enumerate(shown)]
    made = run.trials - run.budget.left
    return TuneReport(
        model=frontends.label(request.source),
        target=run.goal.target,
        budgets=tuple(run.goal.budgets),
        met=outcome.best.met and outcome.best.affordable,
        interrupted=outcome.interrupted,
        observer=outcome.observer,
        recovery=outcome.recovery or (),
        samples=workload.facts.samples,
        confirmed_on=workload.facts.samples if outcome.interrupted else len(run.prepared.data.evaluation),
        source=run.prepared.data.evaluation.source,
        candidates=len(run.space.candidates),
        trials=Trials(allowed=run.trials, made=made, further=run.lab.asked - made, cached=run.lab.cached),
        start=point(run.history[0]),
        best=best,
        members=members,
        front=tuple(timed),
        seconds=run.stages.seconds,
        command=_command(run, outcome, folder),
        rules=RULES,
    )


def _member(run: Run, outcome: Outcome, name: str, *, measure: bool) -> Member:
    candidate, precision = run.space.candidates[name], outcome.best.assignment[name]
    without = _without(run, outcome, name) if measure else None
    after = f"{outcome.searched.worst_db:.1f} dB instead of {run.history[0].worst_db:.1f}"
    where = f"on {run.lab.workload.facts.samples} samples"
    kept = "Float" if precision == FLOAT else "Int8 weights with wider activations"
    if without is None:
        reason = f"{kept}: one of {len(outcome.best.assignment)} that together give {after}, {where}."
    else:
        reason = f"{kept}: with this one in int8 the worst output has {without:.1f} dB instead of {outcome.searched.worst_db:.1f}, {where}."
    return Member(
        name=name,
        nodes=candidate.nodes,
        precision=precision,
        float_macs=candidate.macs if precision == FLOAT else 0.0,
        without_db=without,
        reason=f"{reason} The target is {run.goal.target}.",
    )


def _without(run: Run, outcome: Outcome, name: str) -> float:
    """SQNR of the worst output with one member in integers again."""
    rest = {other: precision for other, precision in outcome.best.assignment.items() if other != name}
    (trial,) = run.lab.measure([Spec(run.space.op_precisions(rest), outcome.setting, latency=run.goal.timed)])
    return min(output.sqnr_db for output in trial.outputs)


def _timed(run: Run, outcome: Outcome, found: Found) -> Point:
    """The row of a set with its latency."""
    row = point(found)
    if outcome.interrupted or row.quantized_ms is not None:
        return row
    (trial,) = run.lab.measure([Spec(found.trial.spec.op_precisions, found.trial.spec.setting, latency=True)])
    return row.model_copy(update={"quantized_ms": trial.quantized_ms, "float_ms": trial.float_ms})


def _best(run: Run, outcome: Outcome) -> Point:
    """The result with the latency of the same set as it was searched: other constants take as long."""
    times = _timed(run, outcome, outcome.searched)
    return point(outcome.best).model_copy(update={"quantized_ms": times.quantized_ms, "float_ms": times.float_ms})


def _command(run: Run, outcome: Outcome, folder: Path) -> str:
    """Converts with what was found."""
    words = ["bridge", "convert", frontends.label(run.request.source)]
    for option, data in (("--calibration", run.request.calibration), ("--evaluation", run.request.evaluation)):
        words += [option, str(data)] if isinstance(data, Path | str) else []
    if run.request.rules:
        words += ["--no-default-rules", *(word for rule in run.request.rules if isinstance(rule, Path | str) for word in ("--rules", str(rule)))]
    words += ["--rules", str(folder / RULES)]
    words += ["--observer", outcome.observer] if outcome.observer != DEFAULT_OBSERVER else []
    if outcome.recovery is None:
        words += ["--no-recover"]
    elif set(run.request.recover) != set(DEFAULT_RECOVERY):
        words += [word for method in run.request.recover for word in ("--recover", method)]
    words += [word for name, shape in run.request.input_shapes.items() for word in ("--input", f"{name}={'x'.join(map(str, shape))}")]
    return shlex.join(words)
