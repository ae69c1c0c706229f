"""What accuracy recovery changes about the operators of a float file before they are quantized."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np
from msgspec import Struct, field

from bridge.errors import UsageError


def _nothing() -> Mapping[int, np.ndarray]:
    return MappingProxyType({})


class Corrections(Struct, frozen=True, eq=False):
    """Other constants for operators, by operator index of the float file; empty by default.

    They take effect only on operators that end up with quantized weights: a float32 operator keeps what it has. Nobody writes to the arrays.

    Attributes:
        biases: [channels] float32, in place of the operator's bias; also for an operator without one that can take one.
        weights: float32 in the shape of the weight constant, in place of it. Rounding is the quantizer's: values that are to be rounded in
            another way are given on the grid of `weight_scales`.
        weight_scales: [channels] float32, in place of the scales that the weights' largest magnitudes give. One value for kernels with one
            scale per weight; they take the largest of several.
    """

    biases: Mapping[int, np.ndarray] = field(default_factory=_nothing)
    weights: Mapping[int, np.ndarray] = field(default_factory=_nothing)
    weight_scales: Mapping[int, np.ndarray] = field(default_factory=_nothing)

    def merged(self, other: "Corrections") -> "Corrections":
        """Both; where they speak of the same operator's same constant, `other` holds."""
        return Corrections(
            MappingProxyType({**self.biases, **other.biases}),
            MappingProxyType({**self.weights, **other.weights}),
            MappingProxyType({**self.weight_scales, **other.weight_scales}),
        )

    def check(self, operators: int) -> None:
        """Looks at what needs no graph.

        Args:
            operators: how many the float file has.

        Raises:
            UsageError: an operator that does not exist, a value that is not finite, or a scale that is not positive.
        """
        for kind, arrays in (("biases", self.biases), ("weights", self.weights), ("weight_scales", self.weight_scales)):
            _check(kind, arrays, operators)
        bad = [index for index, scales in self.weight_scales.items() if not (scales > 0).all()]
        if bad:
            raise UsageError(f"corrections.weight_scales must be positive. Received: others for operator {bad[0]}.")


def merge(corrections: Iterable[Corrections]) -> Corrections:
    """All of them in one; later ones hold where they speak of the same constant."""
    total = Corrections()
    for one in corrections:
        total = total.merged(one)
    return total


def _check(kind: str, arrays: Mapping[int, np.ndarray], operators: int) -> None:
    for index, value in arrays.items():
        if not 0 <= index < operators:
            raise UsageError(f"corrections.{kind}: the file has operators 0 .. {operators - 1}. Received: {index}.")
        if not np.isfinite(value).all():
            raise UsageError(f"corrections.{kind} must be finite. Received: other values for operator {index}.")
