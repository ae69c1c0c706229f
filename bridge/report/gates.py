"""Gates: one comparison each, such as `sqnr>=25` or `layer:own_sqnr>=15`, judged on a report.

A gate over outputs or layers asks every one of them; those without a measurement are left out, and a gate that finds none is not met.
"""

import math
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol

from bridge.errors import GateError, UsageError
from bridge.report.schema import Gate, Layer, Output, Report, Verdict

type Measured = tuple[str, float | None]  # what was measured, by name, and its value
type Measure = Callable[[Report], Iterable[Measured]]

EXPRESSION = re.compile(r"\s*(?P<name>[a-z0-9_:]+)\s*(?P<sign>>=|<=|>|<)\s*(?P<bound>[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)\s*")
COMPARISONS = MappingProxyType({">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt})
EXAMPLES = "for example 'sqnr>=25' or 'layer:own_sqnr>=15'"
MODEL = "the model"


@dataclass(frozen=True, slots=True)
class Expression:
    """A gate that was read: the measured `name`, the `sign` of the comparison and its `bound`."""

    text: str
    name: str
    sign: Literal[">=", "<=", ">", "<"]
    bound: float

    def holds(self, value: float) -> bool:
        """Whether the value meets the gate; NaN never does."""
        return bool(COMPARISONS[self.sign](value, self.bound))

    def badness(self, value: float) -> float:
        """Grows with the distance to the wrong side; NaN is worst."""
        return math.inf if math.isnan(value) else -value if ">" in self.sign else value


def parse(text: str) -> Expression:
    """Reads one gate.

    Raises:
        UsageError: it is no comparison with a number, or its name is not known.
    """
    match = EXPRESSION.fullmatch(text)
    if match is None:
        raise UsageError(f"A gate is a name, one of >= <= > <, and a number. Received: {text[:80]!r}.", hint=f"{EXAMPLES}; {_known()}")
    if match["name"] not in MEASURES:
        raise UsageError(f"Gate {text[:80]!r}: unknown name. Received: {match['name']!r}.", hint=_known())
    sign: Literal[">=", "<=", ">", "<"] = match["sign"]  # type: ignore[assignment]  # the expression allows no other
    return Expression(text.strip(), match["name"], sign, float(match["bound"]))


def evaluate(report: Report, gates: Sequence[str]) -> Verdict:
    """Judges every gate on a report.

    Raises:
        UsageError: a gate cannot be read.
    """
    judged = tuple(_judge(report, parse(gate)) for gate in gates)
    return Verdict(passed=all(gate.passed for gate in judged), gates=judged)


class HasReport(Protocol):
    """What `convert` gives back."""

    @property
    def report(self) -> Report:
        """The report of the run."""


def gate(result: Report | HasReport, *gates: str) -> Verdict:
    """Judges gates such as `sqnr>=25` on a report or on the result of a conversion; returns only if all of them hold.

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
    return f"{gate.expression} ({gate.reason or f'{gate.measured:.4g} at {gate.worst}'})"


def _judge(report: Report, gate: Expression) -> Gate:
    measured = [(where, value) for where, value in MEASURES[gate.name](report) if value is not None]
    if not measured:
        return Gate(expression=gate.text, passed=False, reason=f"{gate.name} was not measured in this run")
    worst, value = max(measured, key=lambda item: (gate.badness(item[1]), math.isnan(item[1])))
    return Gate(expression=gate.text, passed=gate.holds(value), measured=value, worst=worst)


def _known() -> str:
    return f"known names: {', '.join(MEASURES)}."


def _output(read: Callable[[Output], float | None]) -> Measure:
    return lambda report: ((output.name, read(output)) for output in report.outputs)


def _layer(read: Callable[[Layer], float | None]) -> Measure:
    return lambda report: ((layer.tensor, read(layer)) for layer in report.layers)


def _model(read: Callable[[Report], float | None]) -> Measure:
    return lambda report: ((MODEL, read(report)),)


def _top1_drop(output: Output) -> float | None:
    if output.top1_float is None or output.top1_quantized is None:
        return None
    return round(output.top1_float - output.top1_quantized, 12)  # 0.95 - 0.94 is 0.01 to whoever writes the gate


def _unexplained(report: Report) -> float:
    return report.coverage.nodes - report.coverage.mapped - report.coverage.explained


MEASURES: MappingProxyType[str, Measure] = MappingProxyType(
    {
        "sqnr": _output(lambda output: output.sqnr_db),
        "conversion_sqnr": _output(lambda output: output.conversion_sqnr_db),
        "cosine": _output(lambda output: output.cosine),
        "max_abs": _output(lambda output: output.max_abs),
        "top1_agreement": _output(lambda output: output.top1_agreement),
        "top1_quantized": _output(lambda output: output.top1_quantized),
        "top1_drop": _output(_top1_drop),
        "layer:own_sqnr": _layer(lambda layer: layer.own_sqnr_db),
        "layer:inherited_sqnr": _layer(lambda layer: layer.inherited_sqnr_db),
        "layer:conversion_sqnr": _layer(lambda layer: layer.conversion_sqnr_db),
        "layer:rmse_over_scale": _layer(lambda layer: layer.rmse_over_scale),
        "layer:cosine": _layer(lambda layer: layer.cosine),
        "layer:max_abs": _layer(lambda layer: layer.max_abs),
        "float_mac_share": _model(lambda report: report.cost.float_mac_share),
        "quantized_bytes": _model(lambda report: report.cost.quantized_bytes),
        "quantized_ms": _model(lambda report: report.cost.quantized_ms),
        "speedup": _model(lambda report: report.summary.speedup),
        "unexplained_nodes": _model(_unexplained),
    }
)
