"""The precisions an operator can have; one row each."""

from dataclasses import dataclass
from types import MappingProxyType

from bridge.errors import UsageError


@dataclass(frozen=True, slots=True)
class Precision:
    """How the data of an operator are stored.

    Attributes:
        name: as AI Edge Quantizer spells it: `<mode>_wi<weight bits>_a<activation type>`.
        activation: TFLite type of activations.
        weight: TFLite type of constant weights, symmetric and per output channel when integer.
        bias: TFLite type of biases; an integer bias has the scale input x weight.
        needs_ranges: whether activations need calibrated ranges.
        summary: one line for people.
    """

    name: str
    activation: str
    weight: str
    bias: str
    needs_ranges: bool
    summary: str


FLOAT32 = Precision("float32", "FLOAT32", "FLOAT32", "FLOAT32", needs_ranges=False, summary="float weights and activations")

PRECISIONS = MappingProxyType(
    {
        row.name: row
        for row in (
            FLOAT32,
            Precision("static_wi8_ai8", "INT8", "INT8", "INT32", needs_ranges=True, summary="int8 weights and activations, calibrated ranges"),
        )
    }
)


def find_precision(name: str) -> Precision:
    """The row of a precision.

    Raises:
        UsageError: nothing is known under that name.
    """
    if name not in PRECISIONS:
        raise UsageError(f"Unknown precision. Received: {name!r}.", hint=f"Known precisions: {', '.join(sorted(PRECISIONS))}.")
    return PRECISIONS[name]
