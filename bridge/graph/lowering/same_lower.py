"""Conv with auto_pad SAME_LOWER -> the same with explicit pads.

onnx2tf 2.6.9 stops with "Conv auto_pad=SAME_LOWER is not supported in flatbuffer_direct".
"""

import onnx_ir as ir

from bridge.graph.lowering.replacement import Builder, Replacement
from bridge.graph.values import static_shape


def lower(graph: ir.Graph, node: ir.Node) -> Replacement | None:
    """Source: ONNX Conv-11: output size is ceil(size / stride); of an odd number of pads the larger part comes first."""
    shape, kernel = static_shape(node.inputs[0]), static_shape(node.inputs[1])
    if node.attributes.get_string("auto_pad", "NOTSET") != "SAME_LOWER" or shape is None or kernel is None:
        return None
    rank = len(shape) - 2
    strides = node.attributes.get_ints("strides", [1] * rank)
    dilations = node.attributes.get_ints("dilations", [1] * rank)
    begins, ends = [], []
    for size, taps, stride, dilation in zip(shape[2:], kernel[2:], strides, dilations, strict=True):
        total = max(0, (-(-size // stride) - 1) * stride + (taps - 1) * dilation + 1 - size)
        begins.append(total - total // 2)
        ends.append(total // 2)
    build = Builder(graph, str(node.name))
    group = node.attributes.get_int("group", 1)
    return build.done(
        build.op("Conv", *node.inputs, attributes={"group": group, "strides": strides, "dilations": dilations, "pads": [*begins, *ends]})
    )
