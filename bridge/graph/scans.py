"""Writes Scan out, step by step, as Loops are: TFLite has no quantized WHILE. Linear attention is defined by a Scan over the sequence."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from bridge.graph import provenance
from bridge.graph.bodies import copied, open_bodies, written_out
from bridge.graph.loops import MAX_ROUNDS
from bridge.graph.values import new_constant, static_shape
from bridge.limits import MAX_NODES
from bridge.types import Diagnostic


def unroll_scans(model: ir.Model) -> tuple[Diagnostic, ...]:
    """Replaces every Scan over a sequence of known length.

    Source: ONNX Scan-11; body inputs: states, one slice of each scanned input; body outputs: states, one slice of each scanned output.
    """
    found = [_unroll(model.graph, node) for node in open_bodies(model, "Scan")]
    return tuple(one for one in found if one is not None)


def _unroll(graph: ir.Graph, scan: ir.Node) -> Diagnostic | None:
    """What was written out, None where the scan stays."""
    count = scan.attributes.get_int("num_scan_inputs", 0)
    values = [value for value in scan.inputs if value is not None]
    states, scanned = values[: len(values) - count], values[len(values) - count :]
    axes = scan.attributes.get_ints("scan_input_axes", [0] * count)
    shapes = [static_shape(value) for value in scanned]
    if not count or len(values) != len(scan.inputs) or any(shape is None for shape in shapes):
        return None
    steps = (shapes[0] or ())[axes[0]]
    if not 0 < steps <= MAX_ROUNDS or steps * len(scan.attributes["body"].as_graph()) > MAX_NODES:
        return None
    backwards = scan.attributes.get_ints("scan_input_directions", [0] * count)
    nodes: list[ir.Node] = []
    written: list[list[ir.Value]] = []
    for step in range(steps):
        slices = []
        for value, axis, turned in zip(scanned, axes, backwards, strict=True):
            index = new_constant(graph, f"scan_step_{step}", np.array(steps - 1 - step if turned else step, np.int64))
            picked = ir.node("Gather", [value, index], attributes={"axis": axis})
            nodes.append(picked)
            slices.append(picked.outputs[0])
        new, outputs = copied(scan.attributes["body"].as_graph(), [*states, *slices], number=step)
        nodes += new
        states, rest = outputs[: len(states)], outputs[len(states) :]
        written.append(rest)
    results = [*states, *_stacked(graph, scan, written, nodes)]
    copies = [ir.node("Identity", [result]) for result in results]
    for copy, old in zip(copies, scan.outputs, strict=True):
        copy.outputs[0].type = old.type
    for node in (*nodes, *copies):
        if not provenance.origins(node):
            provenance.inherit([node], [scan], main=scan)
    ir.convenience.replace_nodes_and_values(graph, scan, [scan], [*nodes, *copies], scan.outputs, [copy.outputs[0] for copy in copies])
    return written_out(scan, rounds=steps, nodes=len(nodes))


def _stacked(graph: ir.Graph, scan: ir.Node, written: Sequence[Sequence[ir.Value]], nodes: list[ir.Node]) -> list[ir.Value]:
    """The scanned outputs; the nodes that join them go behind `nodes`."""
    count = len(written[0])
    axes = scan.attributes.get_ints("scan_output_axes", [0] * count)
    backwards = scan.attributes.get_ints("scan_output_directions", [0] * count)
    results = []
    for position in range(count):
        axis = new_constant(graph, f"scan_axis_{axes[position]}", np.array([axes[position]], np.int64))
        slices = [ir.node("Unsqueeze", [outputs[position], axis]) for outputs in (written[::-1] if backwards[position] else written)]
        joined = ir.node("Concat", [one.outputs[0] for one in slices], attributes={"axis": axes[position]})
        nodes += [*slices, joined]
        results.append(joined.outputs[0])
    return results
