"""Finds the activation functions of a normalised graph, whether they are an operator or spelled out."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import onnx_ir as ir
from msgspec import Struct

from bridge.graph import provenance
from bridge.graph.patterns import gelu, self_gated
from bridge.graph.patterns.gates import Gate, Polynomial, Terms, argument, gates, terms
from bridge.graph.patterns.matching import attribute, region
from bridge.replacements import FUNCTION_OF_OPERATOR


class Activation(Struct, frozen=True):
    """One activation function of the graph.

    Attributes:
        function: `gelu`, `silu`, `mish`, `erf` or `sigmoid`.
        nodes: what computes it, in topological order.
        x: its argument.
        y: its value.
        slope: factor of `x` inside the gate of a SiLU, else 1.
    """

    function: str
    nodes: tuple[ir.Node, ...]
    x: ir.Value
    y: ir.Value
    slope: float = 1.0


def activations(graph: ir.Graph) -> Iterator[Activation]:
    """All that can be told apart; a Sigmoid inside a SiLU counts as both."""
    for node in graph:
        function = FUNCTION_OF_OPERATOR.get(node.op_type) if node.domain == "" else None
        if function is not None and node.inputs[0] is not None:
            slope = attribute(node, "alpha", 1.0) if node.op_type == "Swish" else 1.0
            yield Activation(function, (node,), node.inputs[0], node.outputs[0], slope)
    known = terms(graph)
    for value, gate in gates(known):
        producer = value.producer()
        marked = None if producer is None else provenance.pattern(producer)
        spelled = None if marked is None or marked not in _SPELLED else _SPELLED[marked](value, gate, known)
        if spelled is not None:
            yield spelled
    yield from _lowered(graph)


def _lowered(graph: ir.Graph) -> Iterator[Activation]:
    """Mish whose operators the converter needs written out: recognised before that, so the marked nodes between one tensor and another are one."""
    marked = [node for node in graph if provenance.pattern(node) == "mish" and node.op_type != "Mish"]
    for last in marked:
        y = last.outputs[0]
        if any(user in marked for user in y.consumers()):
            continue
        nodes, feeds = region(y, lambda value: value.producer() not in marked)
        if len(feeds) == 1:
            yield Activation("mish", tuple(nodes), feeds[0], y)


def _self_gated(value: ir.Value, gate: Gate, known: Terms) -> Activation | None:
    function = self_gated.function(gate)
    if function is None:
        return None
    return _found(function, value, gate, gate.q, known, slope=gate.r[1] / gate.q[1] if function == "silu" else 1.0)


def _gelu(value: ir.Value, gate: Gate, known: Terms) -> Activation | None:
    form = gelu.FORMS.get(gate.function)
    match = None if form is None else form(gate)
    return None if match is None else _found("gelu", value, gate, match[0], known)


def _found(function: str, value: ir.Value, gate: Gate, of: Polynomial, known: Terms, *, slope: float = 1.0) -> Activation | None:
    nodes, x = argument(value, gate.base, of, known)
    return None if x is None else Activation(function, tuple(nodes), x, value, slope)


# By the mark that recognising left on the node that writes the value.
_SPELLED: Mapping[str, Callable[[ir.Value, Gate, Terms], Activation | None]] = MappingProxyType({"gelu": _gelu, "silu": _self_gated})
