"""Reads normalisations off a graph: each value is given its algebraic meaning in terms of one tensor, its mean and its variance.

Every spelling of a LayerNorm or RMSNorm computes `(x - mean(x)) / sqrt(mean((x - mean(x))^2) + epsilon) * scale + bias`. One walk over
the nodes notes for each value what it is (a mean, a mean square, an inverse root, a sum of such terms), so that operand order and the
choice of operators do not matter.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import isclose, prod
from types import MappingProxyType
from typing import Literal

import numpy as np
import onnx_ir as ir

from bridge.graph.patterns.matching import (
    VIEWS,
    Array,
    attribute,
    constant,
    given,
    integers,
    is_constant,
    is_float,
    scalar,
    shape_ends_with,
    shape_of,
)

ONE = np.ones(())
ZERO = np.zeros(())
RTOL = 1e-6  # constants in files are float32


@dataclass(frozen=True, slots=True)
class Over:
    """A tensor and the axes, counted from 0, that its mean is taken over."""

    base: ir.Value
    axes: frozenset[int]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return shape_of(self.base) or ()

    @property
    def count(self) -> int:
        """Number of elements that one mean is taken over."""
        return prod(self.shape[axis] for axis in self.axes)

    def statistics(self) -> int:
        """Number of means."""
        return prod(self.shape) // self.count

    def spans(self, value: ir.Value) -> bool:
        """Whether `value` broadcasts against the tensor as means with kept axes do."""
        sizes, own = self.shape, shape_of(value)
        if own is None or len(own) > len(sizes):
            return False
        padded = (1,) * (len(sizes) - len(own)) + own
        return all(size == full or (size == 1 and axis in self.axes) for axis, (size, full) in enumerate(zip(padded, sizes, strict=True)))


@dataclass(frozen=True, slots=True)
class Square:
    """`of * of`."""

    of: ir.Value


@dataclass(frozen=True, slots=True)
class Power:
    """`factor * mean(x^2) + epsilon`, with `x - mean(x)` in place of `x` where `centred`; not `exact` where bounded from below as well."""

    over: Over
    centred: bool
    factor: float = 1.0
    epsilon: float = 0.0
    exact: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Root:
    """`scale * sqrt(power)`, or `scale / sqrt(power)` where `inverse`."""

    power: Power
    inverse: bool
    scale: Array


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """`(a * x + b * mean(x)) / sqrt(power) + c`, without the root where `power` is None. The arrays broadcast against `x`."""

    over: Over
    a: Array
    b: Array
    c: Array
    power: Power | None = None

    def is_centred(self) -> bool:
        """Whether it is a multiple of `x - mean(x)`."""
        return self.power is None and self.a.size == 1 and not self.c.any() and bool(self.a.any()) and _close(self.a, -self.b)

    def is_mean(self) -> bool:
        """Whether it is a multiple of the mean."""
        return self.power is None and not self.a.any() and not self.c.any() and self.b.size == 1


@dataclass(frozen=True, slots=True, eq=False)
class Norm:
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
Meanings = Mapping[ir.Value, Meaning]
Known = dict[ir.Value, Meaning]


def meanings(graph: ir.Graph) -> Known:
    """What every value of the graph is that is part of a normalisation; linear in the number of nodes."""
    known: Known = {}
    for node in graph:
        rule = _RULES.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if rule is None or not is_float(node.outputs[0]) or shape_of(node.outputs[0]) is None:
            continue
        found = rule(node, known)
        if isinstance(found, Line):
            found = _completed(found, node.outputs[0])
        if found is not None:
            known[node.outputs[0]] = found
    return known


def reduced_axes(node: ir.Node) -> frozenset[int] | None:
    """The axes, counted from 0, that a reduction or a global pooling takes together, None where they are not known."""
    value = node.inputs[0]
    shape = None if value is None else shape_of(value)
    if shape is None:
        return None
    if node.op_type.startswith("Global"):
        return frozenset(range(2, len(shape)))
    second = given(node, 1)
    axes = integers(second) if second is not None else tuple(attribute(node, "axes", ()))
    if axes is None:
        return None
    if not axes:
        return frozenset() if attribute(node, "noop_with_empty_axes", 0) else frozenset(range(len(shape)))
    return frozenset(axis % len(shape) for axis in axes)


def _close(left: Array, right: Array) -> bool:
    return bool(np.allclose(left, right, rtol=RTOL, atol=0.0))


def _completed(line: Line, value: ir.Value) -> Line | Norm | None:
    """A line that has all terms of a normalisation, as one; None where its constants do not broadcast like an affine."""
    if not line.over.spans(value):
        return line if line.is_mean() else None
    power = line.power
    if power is None or not line.a.any():
        return line
    complete = _close(line.a, -line.b) if power.centred else not line.b.any()
    if not complete or shape_of(value) != line.over.shape:
        return line
    scale = None if _close(line.a, ONE) else line.a
    return Norm(line.over, power, line.over.axes, scale, line.c if line.c.any() else None)


def _affine(value: ir.Value | None, shape: tuple[int, ...], axes: frozenset[int]) -> Array | None:
    """A constant that varies along the normalised axes only, or along the channels (axis 1) only."""
    found = constant(value)
    if found is None or found.ndim > len(shape):
        return None
    first = len(shape) - found.ndim
    varying = {first + axis for axis, size in enumerate(found.shape) if size > 1}
    return found if varying <= axes or varying == {1} else None


def _mean_square(of: ir.Value, axes: frozenset[int], factor: float, known: Known) -> Power:
    line = known.get(of)
    if isinstance(line, Line) and line.is_centred() and line.over.axes == axes:
        return Power(line.over, True, factor * float(line.a.reshape(())) ** 2)
    return Power(Over(of, axes), False, factor)


def _reduction(node: ir.Node, known: Known) -> Meaning | None:
    value, axes = node.inputs[0], reduced_axes(node)
    shape = None if value is None else shape_of(value)
    if value is None or shape is None or not axes or is_constant(value):
        return None
    count = prod(shape[axis] for axis in axes)
    if count < 2:
        return None
    square = known.get(value)
    match node.op_type:
        case "ReduceMean" | "GlobalAveragePool" | "ReduceSum":
            factor = float(count) if node.op_type == "ReduceSum" else 1.0
            if isinstance(square, Square):
                return _mean_square(square.of, axes, factor, known)
            return Line(Over(value, axes), ZERO, factor * ONE, ZERO)
        case "ReduceSumSquare":
            return _mean_square(value, axes, float(count), known)
        case _:  # ReduceL2
            return Root(_mean_square(value, axes, float(count), known), False, ONE)


def _same_line(left: Meaning | None, right: Meaning | None) -> bool:
    return (
        isinstance(left, Line)
        and isinstance(right, Line)
        and left.over == right.over
        and left.power == right.power
        and all(_close(mine, theirs) for mine, theirs in ((left.a, right.a), (left.b, right.b), (left.c, right.c)))
    )


def _line_over(value: ir.Value, over: Over, known: Known) -> Line | None:
    """The value as a line in that tensor."""
    if value is over.base:
        return Line(over, ONE, ZERO, ZERO)
    found = known.get(value)
    return found if isinstance(found, Line) and found.over == over and over.spans(value) else None


def _scaled(value: ir.Value, meaning: Meaning | None, factor: Array) -> Meaning | None:
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
    return None


def _frame(value: ir.Value, meaning: Meaning | None) -> tuple[tuple[int, ...], frozenset[int]] | None:
    """Shape and axes that an affine constant of this value is checked against."""
    match meaning:
        case Norm():
            return shape_of(value) or (), meaning.axes
        case Line():
            return meaning.over.shape, meaning.over.axes
        case Root() | Power():
            over = meaning.over if isinstance(meaning, Power) else meaning.power.over
            return over.shape, over.axes
    return None


def _times_constant(value: ir.Value, factor: ir.Value | None, known: Known, *, inverse: bool = False) -> Meaning | None:
    meaning = known.get(value)
    frame = _frame(value, meaning)
    number = None if frame is None else _affine(factor, *frame)
    if number is None or (inverse and not number.all()):
        return None
    return _scaled(value, meaning, 1.0 / number if inverse else number)


def _over_root(value: ir.Value, divisor: ir.Value, known: Known, *, inverse: bool) -> Meaning | None:
    """The line `value` times an inverse root, or divided by a root."""
    root = known.get(divisor)
    if not isinstance(root, Root) or root.inverse is not inverse or not root.power.over.spans(divisor):
        return None
    line = _line_over(value, root.power.over, known)
    if line is None or line.power is not None or line.c.any():
        return None
    scale = root.scale if inverse else 1.0 / root.scale
    return Line(line.over, line.a * scale, line.b * scale, ZERO, root.power)


def _operands(node: ir.Node) -> tuple[ir.Value, ir.Value] | None:
    left, right = given(node, 0), given(node, 1)
    return None if left is None or right is None else (left, right)


def _product(node: ir.Node, known: Known) -> Meaning | None:
    operands = _operands(node)
    if operands is None:
        return None
    left, right = operands
    if left is right or _same_line(known.get(left), known.get(right)):
        return Square(left)
    for value, other in (left, right), (right, left):
        found = _times_constant(value, other, known) or _over_root(value, other, known, inverse=True)
        if found is not None:
            return found
    return None


def _quotient(node: ir.Node, known: Known) -> Meaning | None:
    operands = _operands(node)
    if operands is None:
        return None
    value, divisor = operands
    root = known.get(divisor)
    if isinstance(root, Root) and not root.inverse and is_constant(value):
        number = _affine(value, root.power.over.shape, root.power.over.axes)
        return None if number is None else Root(root.power, True, number / root.scale)
    return _times_constant(value, divisor, known, inverse=True) or _over_root(value, divisor, known, inverse=False)


def _plus_constant(value: ir.Value, offset: ir.Value, sign: float, known: Known) -> Meaning | None:
    """The meaning of `value + sign * offset`, where `offset` is constant."""
    meaning, number = known.get(value), scalar(offset)
    if isinstance(meaning, Power):
        epsilon = -1.0 if number is None else meaning.epsilon + sign * number
        return replace(meaning, epsilon=epsilon) if epsilon >= 0 else None
    if isinstance(meaning, Root):
        outside = not meaning.inverse and number is not None and sign * number > 0
        return replace(meaning, power=replace(meaning.power, exact=False)) if outside else None
    frame = _frame(value, meaning)
    added = None if frame is None else _affine(offset, *frame)
    if added is None:
        return None
    if isinstance(meaning, Line) and meaning.power is not None:
        return replace(meaning, c=meaning.c + sign * added)
    if isinstance(meaning, Norm) and meaning.bias is None and meaning.kind == "layer_norm":
        return replace(meaning, bias=sign * added)
    return None


def _variance_of_moments(power: Meaning | None, square: Meaning | None, known: Known) -> Power | None:
    """`mean(x^2) - mean(x)^2`."""
    if not isinstance(power, Power) or not isinstance(square, Square) or power.centred or power.epsilon:
        return None
    mean = known.get(square.of)
    if not isinstance(mean, Line) or not mean.is_mean() or mean.over != power.over:
        return None
    return replace(power, centred=True) if isclose(power.factor, float(mean.b.reshape(())) ** 2, rel_tol=RTOL) else None


def _sum(node: ir.Node, known: Known) -> Meaning | None:
    operands = _operands(node)
    if operands is None:
        return None
    left, right = operands
    sign = 1.0 if node.op_type == "Add" else -1.0
    if is_constant(right):
        return _plus_constant(left, right, sign, known)
    if is_constant(left):
        meaning = known.get(right) if sign > 0 else _scaled(right, known.get(right), -ONE)
        return _plus_constant(right, left, 1.0, {right: meaning}) if meaning is not None else None
    if sign < 0 and shape_of(left) == shape_of(right) and (variance := _variance_of_moments(known.get(left), known.get(right), known)):
        return variance
    over = next((found.over for value in operands if isinstance(found := known.get(value), Line)), None)
    if over is None:
        return None
    first, second = _line_over(left, over, known), _line_over(right, over, known)
    if first is None or second is None or first.power != second.power:
        return None
    return Line(over, first.a + sign * second.a, first.b + sign * second.b, first.c + sign * second.c, first.power)


def _negation(node: ir.Node, known: Known) -> Meaning | None:
    value = node.inputs[0]
    return None if value is None else _scaled(value, known.get(value), -ONE)


def _root(meaning: Meaning | None) -> Root | None:
    return Root(meaning, False, ONE) if isinstance(meaning, Power) else None


def _square_root(node: ir.Node, known: Known) -> Meaning | None:
    return _root(known.get(node.inputs[0])) if node.inputs[0] is not None else None


def _reciprocal(node: ir.Node, known: Known) -> Meaning | None:
    root = known.get(node.inputs[0]) if node.inputs[0] is not None else None
    return Root(root.power, True, 1.0 / root.scale) if isinstance(root, Root) and not root.inverse else None


def _exponent(node: ir.Node, known: Known) -> Meaning | None:
    value, exponent = given(node, 0), scalar(given(node, 1))
    if value is None or exponent is None:
        return None
    meaning = known.get(value)
    if exponent == 2.0 and not is_constant(value):
        return Square(value)
    if exponent == 0.5:
        return _root(meaning)
    if exponent == -0.5 and isinstance(meaning, Power):
        return Root(meaning, True, ONE)
    return _reciprocal(node, known) if exponent == -1.0 else None


def _bounded(node: ir.Node, known: Known) -> Meaning | None:
    """A lower bound of 0 does nothing to a variance; another one is no longer an epsilon that adds."""
    values = [value for value in node.inputs if value is not None]
    meaning = next((found for value in values if (found := known.get(value)) is not None), None)
    bounds = [scalar(value) for value in values if value not in known]
    if (node.op_type == "Clip" and given(node, 2) is not None) or len(bounds) != len(values) - 1:
        return None
    if isinstance(meaning, Root) and not meaning.inverse and all(bound is not None and bound > 0 for bound in bounds):
        return replace(meaning, power=replace(meaning.power, exact=False))
    if not isinstance(meaning, Power) or any(bound is None for bound in bounds):
        return None
    return meaning if all(bound is not None and bound <= 0 for bound in bounds) else replace(meaning, exact=False)


def _view(node: ir.Node, known: Known) -> Meaning | None:
    """Statistics keep their order through a new shape; a normalised tensor keeps its meaning while the normalised axes stay the last ones."""
    value = node.inputs[0]
    meaning = None if value is None else known.get(value)
    target = shape_of(node.outputs[0]) or ()
    match meaning:
        case Power() if prod(target) == meaning.over.statistics():
            return meaning
        case Root() if meaning.scale.size == 1 and prod(target) == meaning.power.over.statistics():
            return meaning
        case Line() if meaning.is_mean() and prod(target) == meaning.over.statistics():
            return meaning
        case Norm() if meaning.scale is None and meaning.bias is None:
            sizes = meaning.over.shape
            inner = shape_ends_with(sizes, meaning.over.count)
            trailing = inner is not None and all(sizes[axis] == 1 or axis >= inner for axis in meaning.over.axes)
            axis = shape_ends_with(target, meaning.over.count) if trailing else None
            return replace(meaning, axes=frozenset() if axis is None else frozenset(range(axis, len(target))))
    return None


def _expansion(node: ir.Node, known: Known) -> Meaning | None:
    value = node.inputs[0]
    meaning = None if value is None else known.get(value)
    if value is None or not isinstance(meaning, Power | Root | Line):
        return None
    over = meaning.power.over if isinstance(meaning, Root) else meaning.over
    return meaning if over.spans(value) and over.spans(node.outputs[0]) else None


def _batch_norm(node: ir.Node, known: Known) -> Meaning | None:
    """BatchNormalization with the moments of its own input, as Keras 2 writes a LayerNorm."""
    value = node.inputs[0]
    shape = None if value is None else shape_of(value)
    scale, bias = constant(given(node, 1)), constant(given(node, 2))
    if value is None or shape is None or scale is None or bias is None or len(shape) < 2:
        return None
    over = Over(value, frozenset(axis for axis in range(len(shape)) if axis != 1))
    if not attribute(node, "training_mode", 0):
        mean, variance = known.get(given(node, 3) or value), known.get(given(node, 4) or value)
        if not isinstance(mean, Line) or not mean.is_mean() or not _close(mean.b, ONE) or mean.over != over:
            return None
        if not isinstance(variance, Power) or variance.over != over or not variance.centred or variance.epsilon:
            return None
        power = replace(variance, epsilon=attribute(node, "epsilon", 1e-5))
    else:
        power = Power(over, True, epsilon=attribute(node, "epsilon", 1e-5))
    per_channel = (shape[1],) + (1,) * (len(shape) - 2)
    return Norm(
        over, power, over.axes, None if _close(scale, ONE) else scale.reshape(per_channel), None if not bias.any() else bias.reshape(per_channel)
    )


_RULES: Mapping[str, Callable[[ir.Node, Known], Meaning | None]] = MappingProxyType(
    {
        "ReduceMean": _reduction,
        "ReduceSum": _reduction,
        "ReduceSumSquare": _reduction,
        "ReduceL2": _reduction,
        "GlobalAveragePool": _reduction,
        "Mul": _product,
        "Div": _quotient,
        "Add": _sum,
        "Sub": _sum,
        "Neg": _negation,
        "Sqrt": _square_root,
        "Reciprocal": _reciprocal,
        "Pow": _exponent,
        "Max": _bounded,
        "Relu": _bounded,
        "Clip": _bounded,
        "Expand": _expansion,
        "BatchNormalization": _batch_norm,
        **dict.fromkeys(VIEWS, _view),
    }
)
