"""Max, Min, Sum or Mean of one operand -> Identity.

onnx2tf 2.6.9 writes CUSTOM:ONNX_MAX, which no runtime has.
"""

import onnx_ir as ir

from bridge.graph.lowering.replacement import Builder, Replacement


def lower(graph: ir.Graph, node: ir.Node) -> Replacement | None:
    """Source: ONNX Max-13, Min-13, Sum-13, Mean-13."""
    if len(node.inputs) != 1:
        return None
    build = Builder(graph, str(node.name))
    return build.done(build.op("Identity", node.inputs[0]))
