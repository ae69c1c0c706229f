"""Gates such as `sqnr>=25` or `layer[encoder.*]:own_sqnr>=15 and size_ratio<=0.3`, judged on a report.

A comparison over outputs or layers asks every one of them (with `any` in front, at least one); those without a measurement are left out. What was
not measured, or is NaN, neither holds nor fails, whatever `not` stands before it: such a gate is not met, unless another part of it decides alone.
"""

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from bridge.errors import GateError, UsageError
from bridge.report import gate_measures, gate_syntax
from bridge.report.gate_measures import Measured
from bridge.report.gate_syntax import EXAMPLES, And, Comparison, Expression, Not, Or, Sign, comparisons
from bridge.report.schema import FailingPlace, Gate, GatePart, Report, Verdict
from bridge.report.wording import gate_part

type Measure = Callable[[Report, str, str], Iterable[Measured]]  # report, glob, name

MAX_FAILING = 100  # places that a part of a gate lists
COMPARISONS: Mapping[Sign, Callable[[float, float], bool]] = MappingProxyType(
    {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
)
SUBJECTS: Mapping[str, tuple[str, Measure, Iterable[str]]] = MappingProxyType(  # what a place is called, how it is asked, the names
    {
        "output": ("output", gate_measures.outputs, gate_measures.OUTPUTS),
        "layer": ("layer", gate_measures.layers, gate_measures.LAYERS),
        "metric": ("metric", gate_measures.metrics, ()),
        "": ("model", gate_measures.model, gate_measures.MODELS),
    }
)


def parse(text: str) -> Expression:
    """Reads one gate.

    Raises:
        UsageError: it is no gate, or one of its names is not known.
    """
    found = gate_syntax.parse(text)
    for part in comparisons(found):
        if not _is_known(part):
            received = f"{part.subject}:{part.name}" if part.subject else part.name
            raise UsageError(f"Gate {text[:80]!r}: unknown name. Received: {received!r}.", hint=_known())
    return found


def metrics_of(gates: Sequence[str]) -> tuple[str, ...]:
    """Names of the task metrics that gates ask for.

    Raises:
        UsageError: a gate cannot be read.
    """
    return tuple(part.name.partition(":")[0] for text in gates for part in comparisons(parse(text)) if part.subject == "metric")


def evaluate(report: Report, gates: Sequence[str]) -> Verdict:
    """Judges every gate on a report.

    Raises:
        UsageError: a gate cannot be read.
    """
    judged = tuple(_judge(report, text.strip(), parse(text)) for text in gates)
    return Verdict(passed=all(gate.passed for gate in judged), gates=judged)


class HasReport(Protocol):
    """What `convert` gives back."""

    @property
    def report(self) -> Report:
        """The report of the run."""


def gate(result: Report | HasReport, *gates: str) -> Verdict:
    """Judges gates such as `sqnr>=25` on a report or on the result of a conversion; returns only if all of them hold.

    Args:
        result: of `convert`, or its report.
        gates: expressions such as `sqnr>=25`; at least one.

    Returns:
        The verdict, with what was measured for each gate.

    Raises:
        UsageError: a gate cannot be read, or there is none.
        GateError: at least one does not hold; names each with what was measured and where.
    """
    if not gates:
        raise UsageError("No gate was given.", hint=f"{EXAMPLES}; {_known()}")
    verdict = evaluate(result if isinstance(result, Report) else result.report, gates)
    missed = [one for one in verdict.gates if not one.passed]
    if missed:
        raise GateError(f"{len(missed)} of {len(gates)} gates not met: {'; '.join(map(_missed, missed))}.")
    return verdict


def _missed(gate: Gate) -> str:
    return f"{gate.expression} ({gate.reason or gate_part(gate.parts[0])})"


def _judge(report: Report, text: str, expression: Expression) -> Gate:
    parts = {part: _measure(report, part) for part in comparisons(expression)}
    passed = _holds(expression, parts) is True
    if isinstance(expression, Comparison):
        (only,) = parts.values()
        return Gate(expression=text, passed=passed, measured=only.measured, worst=only.worst, reason=only.reason, parts=(only,))
    said = "; ".join(f"{part.comparison}: {part.reason or gate_part(part)}" for part in parts.values())
    return Gate(expression=text, passed=passed, reason=said, parts=tuple(parts.values()))


def _holds(expression: Expression, parts: Mapping[Comparison, GatePart]) -> bool | None:
    """Kleene's three-valued logic; None is what was not measured. Source: S. C. Kleene, "Introduction to Metamathematics", 1952, section 64."""
    match expression:
        case Comparison():
            return parts[expression].holds
        case Not(inner):
            held = _holds(inner, parts)
            return None if held is None else not held
        case And(several):
            return _all([_holds(part, parts) for part in several])
        case Or(several):
            return _any([_holds(part, parts) for part in several])


def _all(held: Sequence[bool | None]) -> bool | None:
    return False if False in held else None if None in held else True


def _any(held: Sequence[bool | None]) -> bool | None:
    return True if True in held else None if None in held else False


def _measure(report: Report, part: Comparison) -> GatePart:
    place, measure, _ = SUBJECTS[_subject(part)]
    asked = list(measure(report, part.glob, part.name))
    measured = [(where, value) for where, value in asked if value is not None]
    if not measured:
        return GatePart(comparison=part.text, reason=_unmeasured(part, place, bool(asked)))
    compare = COMPARISONS[part.sign]
    held = [None if math.isnan(value) else compare(value, part.bound) for _, value in measured]
    pick = max if part.every else min  # what decides: the worst, or where any suffices, the best
    where, value = pick(measured, key=lambda item: _badness(part.sign, item[1]))
    missed = [item for item, one in zip(measured, held, strict=True) if one is not True]
    worst_first = sorted(missed, key=lambda item: _badness(part.sign, item[1]), reverse=True)[:MAX_FAILING]
    return GatePart(
        comparison=part.text,
        holds=_all(held) if part.every else _any(held),
        measured=value,
        worst=where,
        missed=len(missed),
        asked=len(held),
        failing=tuple(FailingPlace(name=name, value=one) for name, one in worst_first) if _subject(part) in ("output", "layer") else (),
    )


def _badness(sign: Sign, value: float) -> tuple[float, bool]:
    """Grows with the distance to the wrong side; NaN is worst."""
    return math.inf if math.isnan(value) else -value if ">" in sign else value, math.isnan(value)


def _unmeasured(part: Comparison, place: str, asked: bool) -> str:
    name = f"{part.subject}:{part.name}" if part.subject else part.name
    if part.subject == "metric":
        return f"metric {part.name.partition(':')[0]} was not measured in this run; --metric names what is"
    if part.glob and not asked:
        return f"no {place} has a name that fits {part.glob[:80]!r}"
    return f"{name} was not measured in this run" + (f" where a name fits {part.glob[:80]!r}" if part.glob else "")


def _is_known(part: Comparison) -> bool:
    """Task metrics may have any name."""
    if part.subject == "metric":
        return part.name.partition(":")[2] in gate_measures.METRIC_PARTS
    return part.name in SUBJECTS[_subject(part)][2]


def _subject(part: Comparison) -> str:
    """Names of outputs stand alone too."""
    return "output" if not part.subject and part.name in gate_measures.OUTPUTS else part.subject


def _known() -> str:
    prefixes = {"output": "", "layer": "layer:", "metric": "", "": ""}
    names = [f"{prefixes[subject]}{name}" for subject, (_, _, names) in SUBJECTS.items() for name in names]
    return f"known names: {', '.join(names)}, and metric:NAME, metric:NAME:float, metric:NAME:drop of what --metric names."
