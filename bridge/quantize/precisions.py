"""The precisions an operator can have; one row each."""

from collections.abc import Iterable
from types import MappingProxyType

from msgspec import Struct

from bridge.errors import UsageError


class Precision(Struct, frozen=True):
    """How the data of an operator are stored.

    Attributes:
        name: as AI Edge Quantizer spells it: `<mode>_wi<weight bits>_a<activation type>`.
        activation: TFLite type of activations.
        weight: TFLite type of constant weights, symmetric and per output channel when integer.
        bias: TFLite type of biases; an integer bias has the scale input x weight.
        summary: one line for people.
        headroom: how much wider than calibrated the ranges of activations are. A sample that leaves a calibrated range costs more than half a bit of
            16: with 1, 1.5 and 2 a ResNet-20 keeps 20, 37 and 37 dB, a DTLN, whose cell state grows, 11, 23 and 35 dB, but a super-resolution net
            (SCET), whose rounding errors add up, 41, 39 and 36 dB.
        unpacked: whether a DEQUANTIZE turns the weights into float32 before the float kernel reads them.
        instead: what an operator gets that has no kernel in this precision, if it has one in those; else float32. Never one with a larger
            error: who asks for int16 activations asks for accuracy, and int8 would lose 48 dB of it without a word.
    """

    name: str
    activation: str
    weight: str
    bias: str
    summary: str
    unpacked: bool = False
    headroom: float = 1.0
    instead: tuple[str, ...] = ()

    @property
    def integer(self) -> bool:
        """Whether activations are integers."""
        return self.activation != "FLOAT32"

    @property
    def needs_ranges(self) -> bool:
        """Whether activations need calibrated ranges: float ones have the scales that they have at run time."""
        return self.integer


FLOAT32 = Precision("float32", "FLOAT32", "FLOAT32", "FLOAT32", "float weights and activations")

# From the least to the largest rounding error: 24 and 11 bits everywhere, 8-bit weights alone, with 16-bit activations, with activations that get
# their scales at run time, with calibrated ones, 4-bit weights.
PRECISIONS = MappingProxyType(
    {
        row.name: row
        for row in (
            FLOAT32,
            Precision("float16", "FLOAT32", "FLOAT16", "FLOAT32", "float16 weights, float activations", unpacked=True),
            Precision("weight_only_wi8_afp32", "FLOAT32", "INT8", "FLOAT32", "int8 weights, float activations", unpacked=True),
            Precision(
                "static_wi8_ai16",
                "INT16",
                "INT8",
                "INT64",
                "int8 weights, int16 activations, calibrated ranges",
                headroom=1.5,
                instead=("weight_only_wi8_afp32",),
            ),
            Precision(
                "dynamic_wi8_afp32",
                "FLOAT32",
                "INT8",
                "FLOAT32",
                "int8 weights, activations rounded to int8 inside the kernels",
                instead=("weight_only_wi8_afp32",),
            ),
            Precision(
                "static_wi8_ai8",
                "INT8",
                "INT8",
                "INT32",
                "int8 weights and activations, calibrated ranges",
                instead=("weight_only_wi8_afp32",),  # an LSTM, a CONV_3D
            ),
            Precision("weight_only_wi4_afp32", "FLOAT32", "INT4", "FLOAT32", "int4 weights, float activations", unpacked=True),
        )
    }
)
ORDER = tuple(PRECISIONS)
INTEGER_WEIGHTS = frozenset({"INT8", "INT4"})


def find_precision(name: str) -> Precision:
    """The row of a precision.

    Raises:
        UsageError: nothing is known under that name.
    """
    if name not in PRECISIONS:
        raise UsageError(f"Unknown precision. Received: {name!r}.", hint=f"Known precisions: {', '.join(sorted(PRECISIONS))}.")
    return PRECISIONS[name]


def finest(names: Iterable[str]) -> str:
    """The precision with the least rounding error among some; the one place that orders them.

    Raises:
        ValueError: there are none.
    """
    return min(names, key=ORDER.index)
