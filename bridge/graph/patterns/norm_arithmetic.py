"""What elementwise operators make of the terms of a normalisation."""

from collections.abc import Callable, Mapping
from math import isclose
from types import MappingProxyType

import onnx_ir as ir
from msgspec.structs import replace

from bridge.graph.patterns.matching import Array, constant, given, is_constant, scalar
from bridge.graph.patterns.norm_terms import ONE, RTOL, ZERO, Known, Line, Meaning, Norm, Over, Power, Root, Square, close, scaled
from bridge.graph.values import static_shape


def _affine(value: ir.Value | None, shape: tuple[int, ...], axes: frozenset[int]) -> Array | None:
    """A constant that varies along the normalised axes only, or along the channels (axis 1) only."""
    found = constant(value)
    if found is None or found.ndim > len(shape):
        return None
    first = len(shape) - found.ndim
    varying = {first + axis for axis, size in enumerate(found.shape) if size > 1}
    return found if varying <= axes or varying == {1} else None


def _frame(value: ir.Value, meaning: Meaning | None) -> tuple[tuple[int, ...], frozenset[int]] | None:
    """Shape and axes that an affine constant of this value is checked against."""
    match meaning:
        case Norm():
            return static_shape(value) or (), meaning.axes
        case Line():
            return meaning.over.shape, meaning.over.axes
        case Root() | Power():
            over = meaning.over if isinstance(meaning, Power) else meaning.power.over
            return over.shape, over.axes
    return None


def _same_line(left: Meaning | None, right: Meaning | None) -> bool:
    return (
        isinstance(left, Line)
        and isinstance(right, Line)
        and left.over == right.over
        and left.power == right.power
        and all(close(mine, theirs) for mine, theirs in ((left.a, right.a), (left.b, right.b), (left.c, right.c)))
    )


def _line_over(value: ir.Value, over: Over, known: Known) -> Line | None:
    """The value as a line in that tensor."""
    if value is over.base:
        return Line(over, ONE, ZERO, ZERO)
    found = known.get(value)
    return found if isinstance(found, Line) and found.over == over and over.spans(value) else None


def _times_constant(value: ir.Value, factor: ir.Value | None, known: Known, *, inverse: bool = False) -> Meaning | None:
    meaning = known.get(value)
    frame = _frame(value, meaning)
    number = None if frame is None else _affine(factor, *frame)
    if number is None or (inverse and not number.all()):
        return None
    return scaled(meaning, 1.0 / number if inverse else number)


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
        meaning = known.get(right) if sign > 0 else scaled(known.get(right), -ONE)
        return _plus_constant(right, left, 1.0, {right: meaning}) if meaning is not None else None
    if sign < 0 and static_shape(left) == static_shape(right) and (variance := _variance_of_moments(known.get(left), known.get(right), known)):
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
    return None if value is None else scaled(known.get(value), -ONE)


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


def _bounded_above(node: ir.Node, known: Known) -> Meaning | None:
    """An inverse root that stays below 1 / epsilon, as Keras writes a length norm."""
    for value, bound in (node.inputs, reversed(node.inputs)) if len(node.inputs) == 2 else ():
        root, limit = (None if value is None else known.get(value)), scalar(bound)
        if isinstance(root, Root) and root.inverse and limit is not None and limit > 0:
            return replace(root, power=replace(root.power, exact=False))
    return None


ARITHMETIC: Mapping[str, Callable[[ir.Node, Known], Meaning | None]] = MappingProxyType(
    {
        "Mul": _product,
        "Div": _quotient,
        "Add": _sum,
        "Sub": _sum,
        "Neg": _negation,
        "Sqrt": _square_root,
        "Reciprocal": _reciprocal,
        "Pow": _exponent,
        "Max": _bounded,
        "Min": _bounded_above,
        "Relu": _bounded,
        "Clip": _bounded,
    }
)
