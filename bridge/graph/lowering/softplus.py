"""Softplus -> Relu(x) + log(1 + e^-|x|), the logarithm by its series.

onnx2tf 2.6.9 writes log(1 + e^x), where float32 loses what is small beside 1: wrong by 0.3 % at x = -10, and 0 from x = -17 on; e^x overflows from 89 on.
"""

import onnx_ir as ir

from bridge.graph.lowering.replacement import Builder, Replacement

# log(1 + u) = 2 artanh(s) = 2 s (1 + s^2 / 3 + s^4 / 5 + ...) with s = u / (2 + u); u is at most 1, so s is at most 1 / 3 and these terms give 1.4e-7.
_TERMS = (1 / 11, 1 / 9, 1 / 7, 1 / 5, 1 / 3, 1.0)


def lower(graph: ir.Graph, node: ir.Node) -> Replacement | None:
    """Source: ONNX Softplus-22."""
    build = Builder(graph, str(node.name))
    x = node.inputs[0]
    if x is None or x.dtype != ir.DataType.FLOAT:
        return None
    u = build.op("Exp", build.op("Neg", build.op("Abs", x)))
    s = build.op("Div", u, build.op("Add", u, build.scalar(2.0)))
    square = build.op("Mul", s, s)
    series = build.op("Mul", square, build.scalar(_TERMS[0]))
    for term in _TERMS[1:-1]:
        series = build.op("Mul", square, build.op("Add", series, build.scalar(term)))
    whole = build.op("Add", series, build.scalar(_TERMS[-1]))
    logarithm = build.op("Mul", build.op("Mul", s, build.scalar(2.0)), whole)
    return build.done(build.op("Add", build.op("Relu", x), logarithm))
