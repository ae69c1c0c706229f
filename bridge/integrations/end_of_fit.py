"""What the callbacks of all frameworks do when training ends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.conversion_result import ConversionResult
from bridge.pipeline import convert
from bridge.report.gates import gate as hold
from bridge.report.gates import parse


@dataclass(frozen=True, slots=True)
class EndOfFit:
    """A conversion that waits for a trained model.

    Attributes:
        gates: what has to hold; empty: nothing is judged.
        options: those of `convert`.
    """

    gates: tuple[str, ...]
    options: Mapping[str, Any]

    @classmethod
    def of(cls, gate: str | Sequence[str], options: Mapping[str, Any]) -> "EndOfFit":
        """Reads the gates now, before hours of training.

        Raises:
            UsageError: a gate cannot be read.
        """
        gates = (gate,) if isinstance(gate, str) else tuple(gate)
        for one in gates:
            parse(one)
        return cls(gates, options)

    def convert(self, model: object, **found: Any) -> ConversionResult:  # options of `convert`
        """The model converted; its report holds the verdict. What the user said goes before what was `found` on the model."""
        return convert(model, gates=self.gates, **{**found, **self.options})

    def judge(self, result: ConversionResult) -> None:
        """Raises GateError where a gate does not hold."""
        if self.gates:
            hold(result, *self.gates)
