"""x * (1 + erf(x / sqrt(2))) / 2 and its tanh approximation -> Gelu.

Inner values that others read stay beside the Gelu: onnx2tf 2.6.9 stops with an error at a spelled-out GELU whose inner values have other
readers. Constants may be off by one part in a thousand, as rounded literals are (`1.414`); more than a few parts in 100,000 would be seen in the
output, so such a region is marked and not fused.
"""

from collections.abc import Callable, Mapping
from math import pi, sqrt
from types import MappingProxyType

import onnx_ir as ir

from bridge.graph.patterns import matching
from bridge.graph.patterns.gates import ZERO, Gate, Polynomial, Terms, argument, gates, near, plus, scaled, terms, times

NAME = "gelu"
OPSET = 20
RECOGNISED = 1e-3
_Match = tuple[Polynomial, float, str]  # the argument, the tolerance that the constants need, the mode
FUSED = 3e-5  # 0.7071 and 1.4142 are 1e-5 off, a float16 constant up to 5e-4


def recognise(model: ir.Model) -> None:
    """Fuses or marks every GELU of the graph.

    Args:
        model: changed in place. Below opset 20, which has no Gelu, everything is only marked.
    """
    graph = model.graph
    matching.mark_all((node for node in graph if matching.is_op(node, "Gelu")), NAME)
    has_op = graph.opset_imports.get("", 0) >= OPSET
    known = terms(graph)
    for value, gate in reversed(list(gates(known))):  # what an earlier one is computed from stays
        form = FORMS.get(gate.function)
        match = None if form is None else form(gate)
        if match is not None:
            _recognise_one(graph, value, gate, match, known, has_op=has_op)


def _recognise_one(graph: ir.Graph, value: ir.Value, gate: Gate, match: _Match, known: Terms, *, has_op: bool) -> None:
    of, off, approximate = match
    nodes, source = argument(value, gate.base, of, known)
    if source is None:
        return
    staying = nodes
    if has_op and off <= FUSED:
        staying = matching.read_elsewhere(nodes, value)
        replaced = [node for node in nodes if node not in staying]
        matching.fuse(graph, replaced, value, ir.node("Gelu", [source], {"approximate": approximate}), NAME)
    matching.mark_all(staying, NAME)


def _tanh_argument(x: Polynomial) -> Polynomial | None:
    square = times(x, x)
    cube = None if square is None else times(square, x)
    return None if cube is None else scaled(plus(x, scaled(cube, 0.044715)), sqrt(2.0 / pi))


def _match(x: Polynomial, pairs: tuple[tuple[Polynomial, Polynomial], ...], approximate: str) -> _Match | None:
    """The tightest tolerance at which all pairs agree."""
    if x[2] or x[3] or not x[1]:
        return None
    for rtol in (FUSED, RECOGNISED):
        if all(near(left, right, rtol) for left, right in pairs):
            return x, rtol, approximate
    return None


def _erf(gate: Gate) -> _Match | None:
    x = scaled(gate.p, 2.0)
    for sign in (1.0, -1.0):  # erf is odd: 1 - erf(-x / sqrt(2)) is the same number
        match = _match(x, ((scaled(gate.q, 2.0 * sign), x), (scaled(gate.r, sqrt(2.0) * sign), x)), "none")
        if match is not None:
            return match
    return None


def _tanh(gate: Gate) -> _Match | None:
    x = scaled(gate.p, 2.0)
    inner = _tanh_argument(x)
    return None if inner is None else _match(x, ((scaled(gate.q, 2.0), x), (gate.r, inner)), "tanh")


def _sigmoid(gate: Gate) -> _Match | None:
    """`x * sigmoid(2 u)` equals `x * (1 + tanh(u)) / 2`."""
    inner = _tanh_argument(gate.q)
    return None if inner is None or gate.p != ZERO else _match(gate.q, ((gate.r, scaled(inner, 2.0)),), "tanh")


FORMS: Mapping[str, Callable[[Gate], _Match | None]] = MappingProxyType({"erf": _erf, "tanh": _tanh, "sigmoid": _sigmoid})
