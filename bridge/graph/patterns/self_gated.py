"""x * sigmoid(beta * x), x * tanh(softplus(x)) and x * clip(x + 3, 0, 6) / 6: every node is marked `silu`, `mish` or `hard_swish`.

With beta = 1.702 it is the sigmoid approximation of GELU and is marked so.
"""

from collections.abc import Callable, Mapping
from math import isclose
from types import MappingProxyType

import onnx_ir as ir

from bridge.graph import provenance
from bridge.graph.patterns import gelu, matching
from bridge.graph.patterns.gates import ZERO, Gate, Polynomial, argument, gates, near, scaled, terms

OPERATORS = MappingProxyType({"Swish": "silu", "Mish": "mish", "HardSwish": "hard_swish"})
GELU_BETA = 1.702
RTOL = 1e-3


def recognise(model: ir.Model) -> None:
    """Marks every self-gated activation of the graph."""
    graph = model.graph
    for node in graph:
        if matching.is_op(node, *OPERATORS):
            provenance.mark(node, OPERATORS[node.op_type])
    known = terms(graph)
    found: set[ir.Value | None] = set()  # a multiple of one is none again
    for value, gate in gates(known):
        producer, name = value.producer(), function(gate)
        if name is not None and producer is not None and found.isdisjoint(producer.inputs):
            found.add(value)
            nodes, _ = argument(value, gate.base, gate.q, known)
            matching.mark_all(nodes, name)


def function(gate: Gate) -> str | None:
    """What `x` times a function of `x` is called, None for anything else."""
    name, fits = _FUNCTIONS.get(gate.function, (None, None))
    if fits is None or any(gate.q[2:]) or gate.q[1] == 0.0 or not near(gate.p, ZERO, RTOL):
        return None
    if not fits(gate.q, gate.r):
        return None
    return gelu.NAME if name == "silu" and isclose(gate.r[1] / gate.q[1], GELU_BETA, rel_tol=RTOL) else name


def _sigmoid(x: Polynomial, r: Polynomial) -> bool:
    beta = r[1] / x[1]
    return beta > 0.0 and near(scaled(x, beta), r, RTOL)


def _mish(x: Polynomial, r: Polynomial) -> bool:
    return near(x, r, RTOL)


def _hard_swish(x: Polynomial, r: Polynomial) -> bool:
    return near((0.5 + x[0] / 6.0, x[1] / 6.0, 0.0, 0.0), r, RTOL)


_FUNCTIONS: Mapping[str, tuple[str, Callable[[Polynomial, Polynomial], bool]]] = MappingProxyType(
    {"sigmoid": ("silu", _sigmoid), "tanh_softplus": ("mish", _mish), "clip": ("hard_swish", _hard_swish)}
)
