"""Writes loops out whose number of rounds is known before the model runs; Keras' recurrent layers come as such loops.

TFLite has no quantized WHILE; what stays a Loop is refused later.
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from bridge.graph import provenance
from bridge.graph.bodies import copied, open_bodies, written_out
from bridge.graph.evaluation import evaluate
from bridge.graph.values import constant_array, new_constant
from bridge.limits import MAX_NODES
from bridge.types import Diagnostic

MAX_ROUNDS = 256  # a step of a recurrent layer is about 20 nodes


def unroll_loops(model: ir.Model) -> tuple[Diagnostic, ...]:
    """Replaces every Loop with a constant trip count, or none, and a condition that depends on nothing but constants and the round.

    Source: ONNX Loop-13; body inputs: round, condition, carried values; body outputs: condition, carried values, scanned values.
    """
    found = [_unroll(model.graph, node) for node in open_bodies(model, "Loop")]
    return tuple(one for one in found if one is not None)


def _unroll(graph: ir.Graph, loop: ir.Node) -> Diagnostic | None:
    """What was written out, None where the loop stays."""
    limit, condition = loop.inputs[:2]
    carried = [value for value in loop.inputs[2:] if value is not None]
    trips = MAX_ROUNDS + 1 if limit is None else _known(limit)
    start = 1 if condition is None else _known(condition)
    body = loop.attributes["body"].as_graph()
    if trips is None or not start or len(carried) != len(loop.inputs) - 2 or (limit is not None and trips * len(body) > MAX_NODES):
        return None
    rounds: list[tuple[list[ir.Node], list[ir.Value]]] = []
    values = carried
    while len(rounds) < trips:
        if (len(rounds) + 1) * len(body) > MAX_NODES:
            _forget(rounds)
            return None
        rounds.append(_round(graph, body, len(rounds), values))
        outputs = rounds[-1][1]
        values = outputs[1 : 1 + len(carried)]
        go_on = evaluate(outputs[0], {})
        if go_on is None or len(rounds) > MAX_ROUNDS:
            _forget(rounds)
            return None
        if not go_on.any():
            break
    if not rounds:
        return None
    _insert(graph, loop, rounds, values)
    return written_out(loop, rounds=len(rounds), nodes=sum(len(nodes) for nodes, _ in rounds))


def _forget(rounds: Sequence[tuple[list[ir.Node], list[ir.Value]]]) -> None:
    """Nodes that stay outside must not count as readers of the graph's values."""
    for nodes, _ in rounds:
        for node in nodes:
            for index in range(len(node.inputs)):
                node.replace_input_with(index, None)


def _known(value: ir.Value) -> int | None:
    array = constant_array(value)
    return None if array is None or array.size != 1 else int(array.reshape(()))


def _round(graph: ir.Graph, body: ir.Graph, index: int, carried: Sequence[ir.Value]) -> tuple[list[ir.Node], list[ir.Value]]:
    """The nodes of one round, not yet in the graph, and its outputs."""
    counter = new_constant(graph, f"round_{index}", np.array(index, np.int64))
    condition = new_constant(graph, "round_condition", np.array(True))
    return copied(body, (counter, condition, *carried), number=index)


def _insert(graph: ir.Graph, loop: ir.Node, rounds: Sequence[tuple[list[ir.Node], list[ir.Value]]], carried: Sequence[ir.Value]) -> None:
    """Puts all rounds in the place of the loop, and stacks what it scans."""
    nodes = [node for written, _ in rounds for node in written]
    results = list(carried)
    axis = new_constant(graph, "scan_axis", np.array([0], np.int64))
    for position in range(1 + len(carried), len(rounds[0][1])):
        stacked = [ir.node("Unsqueeze", [outputs[position], axis]) for _, outputs in rounds]
        joined = ir.node("Concat", [node.outputs[0] for node in stacked], attributes={"axis": 0})
        provenance.inherit([*stacked, joined], [loop], main=loop)
        nodes += [*stacked, joined]
        results.append(joined.outputs[0])
    copies = []
    for old, result in zip(loop.outputs, results, strict=True):
        copy = ir.node("Identity", [result])  # a carried value may be an input of the loop, which keeps its own name
        provenance.inherit([copy], [loop], main=loop)
        copy.outputs[0].type = old.type
        copies.append(copy)
    new = [copy.outputs[0] for copy in copies]
    ir.convenience.replace_nodes_and_values(graph, loop, [loop], [*nodes, *copies], loop.outputs, new)
