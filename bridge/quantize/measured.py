"""How far the kernels of the table were off when they were measured: what `tests/conformance/measure.py` wrote."""

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType

from msgspec import Struct


class Measured(Struct, frozen=True):
    """The conformance cases of an operator in a precision.

    Attributes:
        cases: how many ran; those that a condition refuses are not among them.
        worst: largest distance to the float kernel in all of them, inside and beyond the calibrated range.
    """

    cases: int
    worst: float


@cache
def measurements() -> Mapping[tuple[str, str], Measured]:
    """(operator, precision) -> measurement."""
    rows = _file()["rows"]
    assert isinstance(rows, dict)
    return MappingProxyType({(op, precision): Measured(**row) for op, kernels in rows.items() for precision, row in kernels.items()})


@cache
def measured_with() -> str:
    """Version of LiteRT."""
    return str(_file()["litert"])


def unit(precision: str) -> str:
    """What a distance is counted in."""
    if precision.startswith("static"):
        return "steps of the output"
    return "standard deviations of one rounding" if precision.startswith("dynamic") else "millionths of the largest value"


def _file() -> Mapping[str, object]:
    content: Mapping[str, object] = json.loads(resources.files("bridge.quantize").joinpath("measured.json").read_text(encoding="utf-8"))
    return content
