"""Whether a run is worse than an earlier one: a gate for each kind of difference, with a tolerance that can be chosen."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import asdict

from bridge.errors import UsageError
from bridge.findings import Diagnostic as Finding
from bridge.report.diff import Difference, ReportDiff, diff, notes
from bridge.report.gates import evaluate
from bridge.report.schema import Diagnostic, Gate, GatePart, Report, Verdict
from bridge.report.stored import read_report


class Tolerance(Struct, frozen=True):
    """How much worse a run may be: what is counted, its unit, and the default."""

    what: str
    unit: str
    default: float


TOLERANCES: Mapping[str, Tolerance] = MappingProxyType(
    {
        "sqnr": Tolerance("SQNR lost by an output", " dB", 0.5),
        "accuracy": Tolerance("top-1 accuracy or agreement lost", "", 0.005),
        "metric": Tolerance("task metric lost, over its value before", "", 0.01),
        "layer_sqnr": Tolerance("own SQNR lost by a layer below 30 dB", " dB", 3.0),
        "precision": Tolerance("nodes in another precision", "", 0),
        "size": Tolerance("growth of the file, plain or after gzip", "", 0.01),
        "float_macs": Tolerance("growth of the share of float MACs", "", 0.01),
    }
)


class Baseline(Struct, frozen=True):
    """An earlier report, where it lies, and how much worse a run may be, for every name of TOLERANCES; infinity asks nothing."""

    report: Report
    path: str
    tolerances: Mapping[str, float]


def read_baseline(baseline: Path | str | Report | None, tolerances: Mapping[str, float]) -> Baseline | None:
    """The baseline with all tolerances, None without one.

    Args:
        baseline: a report.json, or what was read from one.
        tolerances: names of TOLERANCES, for what shall not be the default.

    Raises:
        InputError: the report cannot be read.
        UsageError: a tolerance nobody knows, a negative one, or tolerances without a baseline.
    """
    for name, value in tolerances.items():
        if name not in TOLERANCES:
            raise UsageError(f"Unknown tolerance. Received: {name!r}.", hint=f"Known names: {', '.join(TOLERANCES)}.")
        if not value >= 0:
            raise UsageError(f"Tolerance {name} is no number of 0 or more. Received: {value!r}.", hint="inf asks nothing.")
    if baseline is None:
        if tolerances:
            raise UsageError("There is nothing to hold tolerances to.", hint="Give --baseline report.json.")
        return None
    report = baseline if isinstance(baseline, Report) else read_report(baseline)
    wanted = {name: tolerances.get(name, tolerance.default) for name, tolerance in TOLERANCES.items()}
    return Baseline(report, "the baseline" if isinstance(baseline, Report) else str(baseline), MappingProxyType(wanted))


def judge(report: Report, gates: Sequence[str], baseline: Baseline | None = None) -> Verdict:
    """The verdict of gates and of a baseline on a report.

    Raises:
        UsageError: a gate cannot be read.
    """
    found = (*evaluate(report, gates).gates, *(baseline_gates(report, baseline) if baseline else ()))
    return Verdict(passed=all(gate.passed for gate in found), gates=found)


def baseline_findings(report: Report, baseline: Baseline | None) -> tuple[Diagnostic, ...]:
    """One warning for each reason why both may not be comparable."""
    said = notes(baseline.report, report) if baseline else ()
    found = [Finding("baseline-differs", "warning", f"{note} Baseline: {baseline.path}.") for note in said if baseline]
    return tuple(Diagnostic(**asdict(finding)) for finding in found)


def baseline_gates(report: Report, baseline: Baseline) -> tuple[Gate, ...]:
    """One gate per kind of difference; what the baseline measured and the run did not is not met."""
    found = diff(baseline.report, report)
    return tuple(gate for name, bound in baseline.tolerances.items() if bound < math.inf and (gate := _gate(name, bound, found)) is not None)


def _gate(name: str, bound: float, found: ReportDiff) -> Gate | None:
    """None where the baseline has nothing to compare with."""
    text = f"baseline: {TOLERANCES[name].what} <= {bound:g}{TOLERANCES[name].unit}"
    losses = list(_precision_losses(found) if name == "precision" else _losses(name, found.differences))
    unmeasured = [one for one in found.differences if one.kind == name and one.lost and name != "layer_sqnr"]
    if unmeasured:
        reason = f"{unmeasured[0].measure} of {unmeasured[0].where} was measured in the baseline, but not in this run"
        return _built(text, GatePart(comparison=text, reason=reason))
    if not losses:
        reason = "the baseline has no SQNR of an output; `--tolerance sqnr=inf` asks nothing"
        return _built(text, GatePart(comparison=text, reason=reason)) if name == "sqnr" else None
    where, worst = max(losses, key=lambda item: item[1])
    missed = sum(loss > bound for _, loss in losses)
    return _built(text, GatePart(comparison=text, holds=worst <= bound, measured=worst, worst=where, missed=missed, asked=len(losses)))


def _built(text: str, part: GatePart) -> Gate:
    return Gate(expression=text, passed=part.holds is True, measured=part.measured, worst=part.worst, reason=part.reason, parts=(part,))


def _losses(name: str, differences: Sequence[Difference]) -> Iterator[tuple[str, float]]:
    for one in differences:
        if one.kind == name and one.loss is not None:
            yield (one.where if name in ("sqnr", "metric", "layer_sqnr") else f"{one.where}, {one.measure}"), one.loss


def _precision_losses(found: ReportDiff) -> Iterator[tuple[str, float]]:
    first = found.precisions[0] if found.precisions else None
    where = f"{first.node}, {first.before or 'no op'} before and {first.after or 'no op'} now" if first else "no node"
    yield where, float(len(found.precisions))
