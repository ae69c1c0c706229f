"""Elu with another alpha than 1 -> Relu(x) - alpha * Relu(-Elu(x)).

onnx2tf 2.6.9 writes TFLite's ELU, which knows no alpha: 9 dB for alpha = 2.
"""

import onnx_ir as ir

from bridge.graph.lowering.replacement import Builder, Replacement


def lower(graph: ir.Graph, node: ir.Node) -> Replacement | None:
    """Source: ONNX Elu-6: alpha * (exp(x) - 1) for x < 0, else x."""
    alpha = node.attributes.get_float("alpha", 1.0)
    if alpha == 1.0:
        return None
    build = Builder(graph, str(node.name))
    (x,) = node.inputs
    below = build.op("Relu", build.op("Neg", build.op("Elu", x)))
    return build.done(build.op("Sub", build.op("Relu", x), build.op("Mul", below, build.scalar(alpha))))
