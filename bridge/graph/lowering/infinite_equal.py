"""Equal with an infinite constant -> a comparison with the largest float32, which infinity passes too.

onnx2tf 2.6.9 writes Where with an infinite constant as sums and products and puts the largest float32 in the place of infinity (0 * inf is NaN), so
"is the whole row masked?" in ONNX's definition of Attention was never true: a masked row gave the mean of all values instead of zeros.
"""

import numpy as np
import onnx_ir as ir

from bridge.graph.lowering.replacement import Builder, Replacement
from bridge.graph.values import constant_array


def lower(graph: ir.Graph, node: ir.Node) -> Replacement | None:
    """The result differs only for the largest float32 itself."""
    constants = [constant_array(value) for value in node.inputs]
    position = next((index for index, array in enumerate(constants) if array is not None), None)
    array = None if position is None else constants[position]
    if position is None or array is None or array.dtype != np.float32 or array.size != 1 or not np.isinf(array).all():
        return None
    build = Builder(graph, str(node.name))
    bound = build.constant(np.clip(array, np.finfo(np.float32).min, np.finfo(np.float32).max))
    return build.done(build.op("GreaterOrEqual" if array.item() > 0 else "LessOrEqual", node.inputs[1 - position], bound))
