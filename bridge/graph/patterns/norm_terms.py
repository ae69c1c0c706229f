"""The algebra of normalisations: what a value can be in terms of one tensor, its mean and its mean square."""

from math import prod
from typing import Literal

import numpy as np
import onnx_ir as ir
from msgspec import Struct
from msgspec.structs import replace

from bridge.graph.patterns.matching import Array
from bridge.graph.values import static_shape

ONE = np.ones(())
ZERO = np.zeros(())
RTOL = 1e-6  # constants in files are float32


class Over(Struct, frozen=True):
    """A tensor and the axes, counted from 0, that its mean is taken over."""

    base: ir.Value
    axes: frozenset[int]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return static_shape(self.base) or ()

    @property
    def count(self) -> int:
        """Number of elements that one mean is taken over."""
        return prod(self.shape[axis] for axis in self.axes)

    def statistics(self) -> int:
        """Number of means."""
        return prod(self.shape) // self.count

    def spans(self, value: ir.Value) -> bool:
        """Whether `value` broadcasts against the tensor as means with kept axes do."""
        sizes, own = self.shape, static_shape(value)
        if own is None or len(own) > len(sizes):
            return False
        padded = (1,) * (len(sizes) - len(own)) + own
        return all(size == full or (size == 1 and axis in self.axes) for axis, (size, full) in enumerate(zip(padded, sizes, strict=True)))


class Square(Struct, frozen=True):
    """`of * of`."""

    of: ir.Value


class Power(Struct, frozen=True):
    """`factor * mean(x^2) + epsilon`, with `x - mean(x)` in place of `x` where `centred`; not `exact` where bounded from below as well."""

    over: Over
    centred: bool
    factor: float = 1.0
    epsilon: float = 0.0
    exact: bool = True


class Root(Struct, frozen=True, eq=False):
    """`scale * sqrt(power)`, or `scale / sqrt(power)` where `inverse`."""

    power: Power
    inverse: bool
    scale: Array


class Line(Struct, frozen=True, eq=False):
    """`(a * x + b * mean(x)) / sqrt(power) + c`, without the root where `power` is None. The arrays broadcast against `x`."""

    over: Over
    a: Array
    b: Array
    c: Array
    power: Power | None = None

    def is_centred(self) -> bool:
        """Whether it is a multiple of `x - mean(x)`."""
        return self.power is None and self.a.size == 1 and not self.c.any() and bool(self.a.any()) and close(self.a, -self.b)

    def is_mean(self) -> bool:
        """Whether it is a multiple of the mean."""
        return self.power is None and not self.a.any() and not self.c.any() and self.b.size == 1


class Norm(Struct, frozen=True, eq=False):
    """A normalised tensor `x_hat * scale + bias`.

    Attributes:
        over: the tensor and the axes it is normalised over.
        power: the denominator before its root.
        axes: the normalised axes of this value, which may have another shape than the tensor; empty where they cannot be told.
        scale: broadcasts against this value, None before a scale was seen.
        bias: likewise.
    """

    over: Over
    power: Power
    axes: frozenset[int]
    scale: Array | None = None
    bias: Array | None = None

    @property
    def kind(self) -> Literal["layer_norm", "rms_norm"]:
        """With or without subtraction of the mean."""
        return "layer_norm" if self.power.centred else "rms_norm"


Meaning = Square | Power | Root | Line | Norm
Known = dict[ir.Value, Meaning]


def close(left: Array, right: Array) -> bool:
    """Whether two constants are the same number for float32 and every element."""
    return bool(np.allclose(left, right, rtol=RTOL, atol=0.0))


def scaled(meaning: Meaning | None, factor: Array) -> Meaning | None:
    """The meaning times a constant that was found to fit."""
    match meaning:
        case Power() if factor.size == 1 and float(factor.reshape(())) > 0:
            number = float(factor.reshape(()))
            return replace(meaning, factor=meaning.factor * number, epsilon=meaning.epsilon * number)
        case Root():
            return replace(meaning, scale=meaning.scale * factor)
        case Line():
            return replace(meaning, a=meaning.a * factor, b=meaning.b * factor, c=meaning.c * factor)
        case Norm() if meaning.scale is None and meaning.bias is None:
            return replace(meaning, scale=factor)
        case Norm() if meaning.kind == "rms_norm" and meaning.scale is not None and meaning.scale.size == 1:
            return replace(meaning, scale=meaning.scale * factor)  # a length norm times sqrt(n), then the weight
    return None
