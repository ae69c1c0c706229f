"""What a search is after, in the language of gates, judged on single trials."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import asdict

from bridge.errors import UsageError
from bridge.name_patterns import glob_fits
from bridge.report import gates
from bridge.report.gate_measures import MODELS, OUTPUTS
from bridge.report.gate_syntax import And, Comparison, Expression, comparisons
from bridge.report.measured_metrics import task_metric
from bridge.report.schema import Cost, Output, Report, Summary
from bridge.tune.trial import Trial

TIMED = frozenset({"float_ms", "latency", "quantized_ms", "speedup"})
OF_TRIALS = TIMED | {
    "converted_elements",
    "dequantize_ops",
    "float_bytes",
    "float_mac_share",
    "quantize_ops",
    "quantized_bytes",
    "size",
    "size_ratio",
}
assert MODELS.keys() >= OF_TRIALS


@dataclass(frozen=True, slots=True)
class Goal:
    """A target for what the model computes, and budgets for what that may cost.

    Args:
        target: for example `sqnr>=30 and top1_drop<=0.005`.
        budgets: for example `size_ratio<=0.3`; all must hold.

    Raises:
        UsageError: one is no gate, or asks for what trials do not measure.
    """

    target: str
    budgets: Sequence[str] = ()
    _parsed: Expression = field(init=False)

    def __post_init__(self) -> None:
        for text in (self.target, *self.budgets):
            for part in comparisons(gates.parse(text)):
                if part.subject == "layer" or (part.subject == "" and part.name not in OUTPUTS and part.name not in OF_TRIALS):
                    known = sorted({*OUTPUTS, *OF_TRIALS, "metric:NAME"})
                    raise UsageError(f"{text!r}: a trial does not measure {part.text!r}.", hint=f"It measures: {', '.join(known)}.")
        object.__setattr__(self, "_parsed", gates.parse(self.target))

    @property
    def metrics(self) -> tuple[str, ...]:
        """Task metrics that it asks for."""
        return gates.metrics_of((self.target, *self.budgets))

    @property
    def timed(self) -> bool:
        """Whether it asks for latencies."""
        return any(part.subject == "" and part.name in TIMED for text in (self.target, *self.budgets) for part in comparisons(gates.parse(text)))

    def met(self, trial: Trial) -> bool:
        """Whether a trial meets the target."""
        return gates.evaluate(as_report(trial), [self.target]).passed

    def affordable(self, trial: Trial) -> bool:
        """Whether it keeps to the budgets."""
        return gates.evaluate(as_report(trial), self.budgets).passed

    def sqnr_db(self, outputs: Sequence[str]) -> Mapping[str, float] | None:
        """Output -> dB that the target asks of it, where SQNR is all that it asks for; None where it asks for anything else."""
        parts = self._parsed.parts if isinstance(self._parsed, And) else (self._parsed,)
        asked: dict[str, float] = {}
        for part in parts:
            if not (isinstance(part, Comparison) and part.name == "sqnr" and part.every and ">" in part.sign):
                return None
            for name in outputs:
                if not part.glob or glob_fits(part.glob, name):
                    asked[name] = max(part.bound, asked.get(name, part.bound))
        return asked


def as_report(trial: Trial) -> Report:
    """As much of a report as a trial knows; nothing else may be asked of it."""
    ratio = trial.quantized_bytes / trial.float_bytes
    speedup = trial.float_ms / trial.quantized_ms if trial.float_ms and trial.quantized_ms else None
    return Report.model_construct(
        outputs=tuple(Output(**asdict(output)) for output in trial.outputs),
        layers=(),
        nodes=(),
        task_metrics=tuple(map(task_metric, trial.task_metrics)),
        cost=Cost(**{name: getattr(trial, name) for name in Cost.model_fields if hasattr(trial, name)}),
        summary=Summary.model_construct(size_ratio=ratio, speedup=speedup),
    )
