"""PRelu whose slope does not belong to the channels -> Relu(x) - slope * Relu(-x).

onnx2tf 2.6.9 writes CUSTOM:ONNX_PRELU for every slope but a scalar, one per channel [C, 1, ...] of an image, and one per column of a matrix.
"""

import onnx_ir as ir

from bridge.graph.lowering.replacement import Builder, Replacement
from bridge.graph.values import constant_array, static_shape


def lower(graph: ir.Graph, node: ir.Node) -> Replacement | None:
    """Source: ONNX PRelu-16; the slope is broadcast to x like the second operand of Mul."""
    x, slope = node.inputs
    shape, slopes = static_shape(x), constant_array(slope)
    if shape is None:
        return None
    channels = (shape[1], *[1] * (len(shape) - 2)) if len(shape) > 1 else shape
    per_channel = slopes is not None and (slopes.size == 1 or slopes.shape in (channels, (1, *channels)))
    if per_channel and len(shape) in (2, 4):
        return None
    build = Builder(graph, str(node.name))
    below = build.op("Mul", build.op("Relu", build.op("Neg", x)), slope)
    return build.done(build.op("Sub", build.op("Relu", x), below))
