"""First and last layers: operators with constant weights that have none before, or none behind them."""

from collections.abc import Iterable, Iterator

import onnx_ir as ir

from bridge.graph import provenance
from bridge.graph.patterns import batch_norm
from bridge.graph.patterns.matching import given, is_float, is_op, tensor_of

FIRST = "first_layer"
LAST = "last_layer"
LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "ConvInteger", "LSTM", "GRU", "RNN")


def recognise(model: ir.Model) -> None:
    """Marks both ends of the graph; run it when all weights are where they stay.

    An operator of the user's file that was written out in several layers is one: the second LSTM of a stack reads a state of its own, and is not first.
    """
    nodes = list(model.graph)
    layers = [node for node in nodes if is_layer(node)]
    behind, before = reached(layers), leading_to(nodes, layers)
    for node in layers:
        if node in behind and node in before:
            continue
        parts = {other for other in layers if provenance.name(other) == provenance.name(node)}
        others = [other for other in layers if other not in parts]
        if node not in behind and (parts.isdisjoint(behind) or parts.isdisjoint(reached(others))):
            provenance.place(node, FIRST)
        if node not in before and (parts.isdisjoint(before) or parts.isdisjoint(leading_to(nodes, others))):
            provenance.place(node, LAST)


def is_layer(node: ir.Node) -> bool:
    """Whether the node has weights, or looks a token up in a table of them; a scale per channel written as a convolution does not count."""
    if provenance.pattern(node) == batch_norm.NAME:
        return False
    if is_op(node, "Gather"):
        return is_table(node)
    return is_op(node, *LAYERS) and any(tensor_of(value) is not None for value in node.inputs[:2])


def is_table(node: ir.Node) -> bool:
    """Whether the node looks vectors up in a constant table [rows, width] by computed indices."""
    table, indices = tensor_of(given(node, 0)), given(node, 1)
    float_table = node.inputs[0] is not None and is_float(node.inputs[0])
    return table is not None and len(table.shape) == 2 and float_table and indices is not None and tensor_of(indices) is None


def reached(starts: Iterable[ir.Node]) -> set[ir.Node]:
    """What depends on any of the nodes; a start only where it depends on another."""
    found: set[ir.Node] = set()
    stack = [user for node in starts for user in _users(node)]
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            stack.extend(_users(node))
    return found


def leading_to(nodes: Iterable[ir.Node], ends: Iterable[ir.Node]) -> set[ir.Node]:
    """The nodes that any of `ends` depends on; an end only where another depends on it.

    Args:
        nodes: in topological order.
        ends: among them.
    """
    wanted, found = set(ends), set[ir.Node]()
    for node in reversed(list(nodes)):
        if any(user in wanted or user in found for user in _users(node)):
            found.add(node)
    return found


def _users(node: ir.Node) -> Iterator[ir.Node]:
    return (user for output in node.outputs for user in output.consumers())
