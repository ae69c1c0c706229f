"""Activations by what they compute: a chain of elementwise operators with scalar constants is run on sample points and compared with formulas.

For functions of pieces (ELU, HardSigmoid, HardSwish by Min and Max) there are too many spellings to list; the values are the same in all.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import numpy as np
import onnx_ir as ir

from bridge.graph import provenance
from bridge.graph.patterns import matching
from bridge.graph.patterns.matching import Array, attribute, given, is_constant, is_op, scalar
from bridge.graph.values import static_shape

POINTS = np.concatenate([np.linspace(-24.0, 24.0, 97), np.linspace(-3.5, 3.5, 57), [1e-3, -1e-3]])
TOLERANCE = 1e-4  # of the largest value near 0; constants in files are rounded to four digits or more
BASES = 6  # readings kept of one value: as a function of its operand, of its operand's operand, ...
LOWEST, HIGHEST, ZERO, UNIT_STEP = (
    int(np.argmin(POINTS)),
    int(np.argmax(POINTS)),
    int(np.argmin(np.abs(POINTS))),
    int(np.argmin(np.abs(POINTS - 1.0))),
)
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772

Readings = dict[ir.Value, Array]  # base -> values at POINTS
_Operands = tuple[Array | float, ...]


def recognise(model: ir.Model) -> None:
    """Marks activations that no other pattern has taken, their single operators first."""
    for node in model.graph:
        if is_op(node, *OPERATORS) and provenance.pattern(node) is None:
            provenance.mark(node, OPERATORS[node.op_type])
    known: dict[ir.Value, Readings] = {}
    with np.errstate(all="ignore"):
        for node in model.graph:
            found = _readings(node, known)
            if found:
                known[node.outputs[0]] = found
        for value, readings in reversed(list(known.items())):
            _mark(value, readings)


def _mark(value: ir.Value, readings: Readings) -> None:
    producer = value.producer()
    if producer is None or provenance.pattern(producer) is not None:
        return
    for base, values in readings.items():
        if all(read is base or is_constant(read) for read in producer.inputs) or not _may_fit(values):
            continue  # one operator alone is none of them
        name = next((name for name, fits in FORMULAS if fits(values)), None)
        if name is None:
            continue
        nodes, feeds = matching.region(value, lambda read, base=base: read is base)  # type: ignore[misc]  # the default is typed by the loop
        if feeds == [base] and len(nodes) > 1 and all(provenance.pattern(node) in PARTS for node in nodes):
            matching.mark_all(nodes, name)
            return


def _readings(node: ir.Node, known: Mapping[ir.Value, Readings]) -> Readings:
    """What the node writes as a function of each tensor that it can be read as a function of."""
    function = _FUNCTIONS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
    operands = [value for value in node.inputs if value is not None]
    computed = [value for value in operands if not is_constant(value)]
    if function is None or not computed:
        return {}
    constants = {value: scalar(value) for value in operands if is_constant(value)}
    if any(number is None for number in constants.values()):
        return {}
    found: Readings = {}
    shape = static_shape(node.outputs[0])
    for base in _bases(computed, known):
        sampled = [POINTS if value is base else known.get(value, {}).get(base, constants.get(value)) for value in operands]
        if all(one is not None for one in sampled) and static_shape(base) == shape is not None:
            found[base] = np.asarray(function(node, tuple(one for one in sampled if one is not None)))
        if len(found) == BASES:
            break
    return found


def _bases(operands: list[ir.Value], known: Mapping[ir.Value, Readings]) -> Iterator[ir.Value]:
    """The nearest first."""
    yield from operands
    yield from dict.fromkeys(base for value in operands for base in known.get(value, {}))


def _bounds(node: ir.Node, operands: _Operands) -> Array:
    low, high = given(node, 1), given(node, 2)
    lowest = -np.inf if low is None else scalar(low)
    highest = np.inf if high is None else scalar(high)
    return np.asarray(np.clip(operands[0], lowest, highest))


def _hard_sigmoid(node: ir.Node, operands: _Operands) -> Array:
    return np.asarray(np.clip(attribute(node, "alpha", 0.2) * operands[0] + attribute(node, "beta", 0.5), 0.0, 1.0))


def _elu(node: ir.Node, operands: _Operands) -> Array:
    return elu(np.asarray(operands[0]), attribute(node, "alpha", 1.0))


def elu(x: Array, alpha: float) -> Array:
    """`x` above 0, `alpha * (exp(x) - 1)` below."""
    return np.asarray(np.where(x > 0.0, x, alpha * np.expm1(np.minimum(x, 0.0))))


def _close(values: Array, formula: Array) -> bool:
    """Of all points, or of one."""
    near = abs(values - formula) <= TOLERANCE * (1.0 + abs(formula))
    return bool(near.all())


def _may_fit(values: Array) -> bool:
    """Whether a formula can fit, by two values: all are 0 or 1/2 at 0, and 24 far above it, or 1 (HardSigmoid), some more (SELU) or less (a slow SiLU)."""
    at_zero, at_most = float(values[ZERO]), float(values[HIGHEST])
    return min(abs(at_zero), abs(at_zero - 0.5)) < 0.01 and (abs(at_most - 1.0) < 0.01 or 0.49 < at_most / POINTS[HIGHEST] < 1.1)


def _is(formula: Callable[[Array], Array]) -> Callable[[Array], bool]:
    """Whether values are those of a formula without parameters; most are not at the first point."""
    expected = functools.cache(lambda: formula(POINTS))

    def fits(values: Array) -> bool:
        wanted = expected()
        return _close(values[UNIT_STEP], wanted[UNIT_STEP]) and _close(values, wanted)

    return fits


def _is_elu(values: Array) -> bool:
    alpha = -float(values[LOWEST])
    return alpha > TOLERANCE and np.isfinite(alpha) and _is_identity_at_one(values) and _close(values, elu(POINTS, alpha))


def _is_celu(values: Array) -> bool:
    """`alpha * (exp(x / alpha) - 1)` below 0."""
    alpha = -float(values[LOWEST])
    return TOLERANCE < alpha < 4.0 and _is_identity_at_one(values) and _close(values, alpha * elu(POINTS / alpha, 1.0))


def _is_identity_at_one(values: Array) -> bool:
    return _close(values[UNIT_STEP], POINTS[UNIT_STEP])


def _hard_sigmoid_of(slope: float) -> Callable[[Array], Array]:
    return lambda x: np.clip(slope * x + 0.5, 0.0, 1.0)


def _is_silu(values: Array) -> bool:
    """`x * sigmoid(beta * x)`; beta by the value at 1."""
    at_one = float(values[UNIT_STEP])
    if not 0.5 < at_one < 0.98:
        return False
    return _close(values, POINTS / (1.0 + np.exp(-np.log(at_one / (1.0 - at_one)) * POINTS)))


OPERATORS: Mapping[str, str] = MappingProxyType({"Elu": "elu", "Selu": "selu", "Celu": "celu", "HardSigmoid": "hard_sigmoid"})
# a part that stands alone as one of these may belong to something larger; everything else that is recognised already stays what it is
PARTS = frozenset({None, *OPERATORS.values()})
FORMULAS: tuple[tuple[str, Callable[[Array], bool]], ...] = (
    ("elu", _is_elu),
    ("celu", _is_celu),
    ("selu", _is(lambda x: SELU_SCALE * elu(x, SELU_ALPHA))),
    ("hard_swish", _is(lambda x: x * np.clip(x / 6.0 + 0.5, 0.0, 1.0))),
    ("hard_sigmoid", _is(_hard_sigmoid_of(1.0 / 6.0))),  # the slopes that libraries use
    ("hard_sigmoid", _is(_hard_sigmoid_of(0.2))),
    ("mish", _is(lambda x: x * np.tanh(np.logaddexp(x, 0.0)))),
    ("silu", _is_silu),
)
_FUNCTIONS: Mapping[str, Callable[[ir.Node, _Operands], object]] = MappingProxyType(
    {
        "Add": lambda _, x: x[0] + x[1],
        "Sub": lambda _, x: x[0] - x[1],
        "Mul": lambda _, x: x[0] * x[1],
        "Div": lambda _, x: x[0] / x[1],
        "Neg": lambda _, x: -x[0],
        "Exp": lambda _, x: np.exp(x[0]),
        "Log": lambda _, x: np.log(x[0]),
        "Reciprocal": lambda _, x: 1.0 / x[0],
        "Sigmoid": lambda _, x: 1.0 / (1.0 + np.exp(-x[0])),
        "Tanh": lambda _, x: np.tanh(x[0]),
        "Softplus": lambda _, x: np.logaddexp(x[0], 0.0),
        "Relu": lambda _, x: np.maximum(x[0], 0.0),
        "Max": lambda _, x: np.maximum.reduce(np.broadcast_arrays(*x)),
        "Min": lambda _, x: np.minimum.reduce(np.broadcast_arrays(*x)),
        "Clip": _bounds,
        "HardSigmoid": _hard_sigmoid,
        "Elu": _elu,
        "Where": lambda _, x: np.where(np.asarray(x[0]) != 0.0, x[1], x[2]),
        "Greater": lambda _, x: np.greater(x[0], x[1]) * 1.0,
        "GreaterOrEqual": lambda _, x: np.greater_equal(x[0], x[1]) * 1.0,
        "Less": lambda _, x: np.less(x[0], x[1]) * 1.0,
        "LessOrEqual": lambda _, x: np.less_equal(x[0], x[1]) * 1.0,
        "Not": lambda _, x: 1.0 - np.asarray(x[0]),
        "Cast": lambda _, x: x[0],
        "Identity": lambda _, x: x[0],
    }
)
