"""What writing Loops and Scans out has in common: nodes that read their bodies as the main graph, and copies of a body."""

from collections.abc import Sequence

import onnx_ir as ir
import onnx_ir.passes.common as common

from bridge.graph import provenance
from bridge.types import Diagnostic


def open_bodies(model: ir.Model, op_type: str) -> list[ir.Node]:
    """The nodes of that type in the main graph, after the constants of all bodies have moved there; nothing moves where there are none."""
    nodes = [node for node in model.graph if node.op_type == op_type and node.domain == ""]
    if nodes:
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
        common.LiftSubgraphInitializersToMainGraphPass()(model)
    return nodes


def written_out(node: ir.Node, *, rounds: int, nodes: int) -> Diagnostic:
    """Says that a loop became straight code, which is as long as it has rounds."""
    name = provenance.name(node) or str(node.name)
    return Diagnostic(
        "control-flow-written-out",
        "info",
        f"{node.op_type} {name!r} has {rounds} rounds, which are written out: {nodes} nodes.",
        "TFLite has no quantized loop. Fewer steps make a smaller file: --input chooses the length.",
        name,
    )


def copied(body: ir.Graph, given: Sequence[ir.Value], *, number: int) -> tuple[list[ir.Node], list[ir.Value]]:
    """The nodes of one round of a body, not yet in a graph, and what it gives.

    Args:
        body: stays as it is.
        given: a value for each of its inputs.
        number: of the round; names end with it.
    """
    copy = body.clone(allow_outer_scope_values=True)
    actual = dict(zip(copy.inputs, given, strict=True))
    outputs = [actual.get(output, output) for output in copy.outputs]
    copy.outputs.clear()
    for formal, value in actual.items():
        ir.convenience.replace_all_uses_with(formal, value)
    nodes = list(copy)
    copy.remove(nodes)
    for node in nodes:
        for output in node.outputs:
            output.name = f"{output.name}.{number}" if output.name else output.name
    return nodes, outputs
