"""x * sigmoid(beta * x) and its relatives Mish and HardSwish: marked under one name, since one rule speaks of them all."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import onnx_ir as ir

from bridge.graph.patterns import matching
from bridge.graph.patterns.gates import IDENTITY, ZERO, Gate, Polynomial, argument, near, scaled, terms

NAME = "silu"
OPERATORS = ("HardSwish", "Mish", "Swish")
RTOL = 1e-3


def recognise(model: ir.Model) -> None:
    """Marks every self-gated activation of the graph."""
    graph = model.graph
    matching.mark_all((node for node in graph if matching.is_op(node, *OPERATORS)), NAME)
    known = terms(graph)
    found: set[ir.Value | None] = set()
    for value, term in known.items():
        producer = value.producer()
        if isinstance(term, Gate) and producer is not None and found.isdisjoint(producer.inputs) and _is_self_gated(term):
            found.add(value)
            nodes, _ = argument(value, term.q, known)
            matching.mark_all(nodes, NAME)


def _is_self_gated(gate: Gate) -> bool:
    """`x` times a function of `x`, both without a quadratic or cubic part."""
    inner = _INNER.get(gate.function)
    linear = not any(gate.q[2:]) and gate.q[1] != 0.0 and near(gate.p, ZERO, RTOL)
    return inner is not None and linear and inner(gate.q, gate.r)


def _sigmoid(x: Polynomial, r: Polynomial) -> bool:
    beta = r[1] / x[1]
    return beta > 0.0 and near(scaled(x, beta), r, RTOL)


def _mish(x: Polynomial, r: Polynomial) -> bool:
    return near(x, r, RTOL)


def _hard_swish(x: Polynomial, r: Polynomial) -> bool:
    """`clip(x / 6 + 1 / 2, 0, 1)`; factors that follow the product end up in both."""
    return near(r, (0.5, r[1], 0.0, 0.0), RTOL) and r[1] > 0.0 and near(scaled(IDENTITY, 1.0 / 6.0), (0.0, r[1] / x[1], 0.0, 0.0), RTOL)


_INNER: Mapping[str, Callable[[Polynomial, Polynomial], bool]] = MappingProxyType({"sigmoid": _sigmoid, "tanh_softplus": _mish, "clip": _hard_swish})
