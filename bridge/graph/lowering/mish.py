"""Mish -> x * n / (n + 2) with n = e^x (e^x + 2), which is what tanh(log(1 + e^x)) comes to.

onnx2tf 2.6.9 writes log(1 + e^x), where float32 loses what is small beside 1: wrong by 1 % at x = -11, and 0 from x = -17 on, where Mish is -7e-7.
"""

import onnx_ir as ir

from bridge.graph.lowering.replacement import Builder, Replacement

_SATURATED = 20.0  # n / (n + 2) is 1 in float32 from 9 on, and e^40 is still a float32


def lower(graph: ir.Graph, node: ir.Node) -> Replacement | None:
    """Source: ONNX Mish-18; exp is bounded so that nothing overflows."""
    build = Builder(graph, str(node.name))
    x = node.inputs[0]
    power = build.op("Exp", build.op("Min", x, build.scalar(_SATURATED)))
    n = build.op("Mul", power, build.op("Add", power, build.scalar(2.0)))
    return build.done(build.op("Mul", x, build.op("Div", n, build.op("Add", n, build.scalar(2.0)))))
