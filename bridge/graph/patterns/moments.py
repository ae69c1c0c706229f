"""Reads normalisations off a graph: each value is given its algebraic meaning in terms of one tensor, its mean and its variance.

Every spelling of a LayerNorm or RMSNorm computes `(x - mean(x)) / sqrt(mean((x - mean(x))^2) + epsilon) * scale + bias`. One walk over
the nodes notes for each value what it is (a mean, a mean square, an inverse root, a sum of such terms), so that operand order and the
choice of operators do not matter.
"""

from collections.abc import Callable, Mapping
from math import prod
from types import MappingProxyType

import onnx_ir as ir
from msgspec.structs import replace

from bridge.graph.patterns.matching import VIEWS, attribute, constant, given, integers, is_constant, is_float, shape_ends_with
from bridge.graph.patterns.norm_arithmetic import ARITHMETIC
from bridge.graph.patterns.norm_terms import ONE, ZERO, Known, Line, Meaning, Norm, Over, Power, Root, Square, close
from bridge.graph.values import static_shape


def meanings(graph: ir.Graph) -> Known:
    """What every value of the graph is that is part of a normalisation; linear in the number of nodes."""
    known: Known = {}
    for node in graph:
        rule = _RULES.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if rule is None or not is_float(node.outputs[0]) or static_shape(node.outputs[0]) is None:
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
    shape = None if value is None else static_shape(value)
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


def _completed(line: Line, value: ir.Value) -> Line | Norm | None:
    """A line that has all terms of a normalisation, as one; None where its constants do not broadcast like an affine."""
    if not line.over.spans(value):
        return line if line.is_mean() else None
    power = line.power
    if power is None or not line.a.any():
        return line
    complete = close(line.a, -line.b) if power.centred else not line.b.any()
    if not complete or static_shape(value) != line.over.shape:
        return line
    scale = None if close(line.a, ONE) else line.a
    return Norm(line.over, power, line.over.axes, scale, line.c if line.c.any() else None)


def _mean_square(of: ir.Value, axes: frozenset[int], factor: float, known: Known) -> Power:
    line = known.get(of)
    if isinstance(line, Line) and line.is_centred() and line.over.axes == axes:
        return Power(line.over, True, factor * float(line.a.reshape(())) ** 2)
    return Power(Over(of, axes), False, factor)


def _reduction(node: ir.Node, known: Known) -> Meaning | None:
    value, axes = node.inputs[0], reduced_axes(node)
    shape = None if value is None else static_shape(value)
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


def _view(node: ir.Node, known: Known) -> Meaning | None:
    """Statistics keep their order through a new shape; a normalised tensor keeps its meaning while the normalised axes stay the last ones."""
    value = node.inputs[0]
    meaning = None if value is None else known.get(value)
    target = static_shape(node.outputs[0]) or ()
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
    shape = None if value is None else static_shape(value)
    scale, bias = constant(given(node, 1)), constant(given(node, 2))
    if value is None or shape is None or scale is None or bias is None or len(shape) < 2:
        return None
    over = Over(value, frozenset(axis for axis in range(len(shape)) if axis != 1))
    if over.count < 2:
        return None
    if not attribute(node, "training_mode", 0):
        mean, variance = known.get(given(node, 3) or value), known.get(given(node, 4) or value)
        if not isinstance(mean, Line) or not mean.is_mean() or not close(mean.b, ONE) or mean.over != over:
            return None
        if not isinstance(variance, Power) or variance.over != over or not variance.centred or variance.epsilon:
            return None
        power = replace(variance, epsilon=attribute(node, "epsilon", 1e-5))
    else:
        power = Power(over, True, epsilon=attribute(node, "epsilon", 1e-5))
    per_channel = (shape[1],) + (1,) * (len(shape) - 2)
    return Norm(
        over, power, over.axes, None if close(scale, ONE) else scale.reshape(per_channel), None if not bias.any() else bias.reshape(per_channel)
    )


_RULES: Mapping[str, Callable[[ir.Node, Known], Meaning | None]] = MappingProxyType(
    {
        "ReduceMean": _reduction,
        "ReduceSum": _reduction,
        "ReduceSumSquare": _reduction,
        "ReduceL2": _reduction,
        "GlobalAveragePool": _reduction,
        **ARITHMETIC,
        "Expand": _expansion,
        "BatchNormalization": _batch_norm,
        **dict.fromkeys(VIEWS, _view),
    }
)
