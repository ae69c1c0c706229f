"""A value per pixel combined with a constant per channel -> a 1 x 1 convolution from one channel to all.

onnx2tf 2.6.9 leaves the constant [1, C, 1, 1] as it is beside a channels-last value [1, H, W, 1], which is legal and wrong where C equals H:
3 dB instead of 130 for a LayerNorm over the channels of an 8 x 8 x 8 image. It never mistakes the axes of a convolution.
"""

import numpy as np
import onnx_ir as ir

from bridge.graph.lowering.replacement import Builder, Replacement
from bridge.graph.values import constant_array, static_shape


def lower(graph: ir.Graph, node: ir.Node) -> Replacement | None:
    """Add, Sub, Mul and Div of [N, 1, ...] and a constant [1, C, 1, ...]; only where a spatial size equals C."""
    constants = [constant_array(value) for value in node.inputs]
    position = 0 if constants[0] is None else 1
    shape, constant = static_shape(node.inputs[position]), constants[1 - position]
    if shape is None or constant is None or constants[position] is not None or constant.dtype != np.float32 or len(shape) not in (3, 4):
        return None
    full = (1,) * (len(shape) - constant.ndim) + constant.shape
    if len(full) != len(shape) or shape[1] != 1 or full[1] == 1 or full[0] != 1 or any(size != 1 for size in full[2:]) or full[1] not in shape[2:]:
        return None
    values = constant.reshape(-1)
    if node.op_type == "Div" and (position == 1 or not values.all()):
        return None
    ones = np.ones_like(values)
    # factor and offset of every channel; Sub has the live value first or second
    factor, offset = {
        "Add": (ones, values),
        "Sub": (ones, -values) if position == 0 else (-ones, values),
        "Mul": (values, 0 * ones),
        "Div": (1 / np.where(values == 0, 1, values), 0 * ones),
    }[node.op_type]
    build = Builder(graph, str(node.name))
    kernel = build.constant(factor.reshape(-1, 1, *[1] * (len(shape) - 2)).astype(np.float32))
    return build.done(build.op("Conv", node.inputs[position], kernel, build.constant(offset.astype(np.float32))))
