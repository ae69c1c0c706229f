"""Clip with a tiny lower bound b -> Relu(x - b) + b.

onnx2tf 2.6.9 takes a lower bound of up to 1e-6 for 0 and writes RELU, for a Max likewise. Such bounds keep divisors from 0: a mean over no token, or the length of a
zero vector, became 0 / 0 = NaN in TFLite where onnxruntime gives 0.
"""

import onnx_ir as ir

from bridge.graph.lowering.replacement import Builder, Replacement
from bridge.graph.values import constant_array

TAKEN_FOR_ZERO = 1e-6


def lower(graph: ir.Graph, node: ir.Node) -> Replacement | None:
    """Source: ONNX Clip-13: min(max(x, min), max); an absent bound does not bind."""
    x, least, most = (*node.inputs, None, None)[:3]
    bound = constant_array(least)
    if x is None or bound is None or bound.size != 1 or x.dtype != ir.DataType.FLOAT or not 0.0 < abs(bound.item()) <= TAKEN_FOR_ZERO:
        return None
    build = Builder(graph, str(node.name))
    floor = build.scalar(bound.item())
    above = build.op("Add", build.op("Relu", build.op("Sub", x, floor)), floor)
    return build.done(above if most is None else build.op("Min", above, most))
