"""LpNormalization -> ReduceL1 or ReduceL2 and Div.

onnx2tf 2.6.9 writes CUSTOM:ONNX_LPNORMALIZATION for all but the L2 norm of the last axis.
"""

import onnx_ir as ir

from bridge.graph.lowering.replacement import Builder, Replacement
from bridge.graph.values import static_shape

_SMALLEST = 1e-30  # its reciprocal is still a float32


def lower(graph: ir.Graph, node: ir.Node) -> Replacement | None:
    """Source: ONNX LpNormalization-1."""
    shape = static_shape(node.inputs[0])
    order, axis = node.attributes.get_int("p", 2), node.attributes.get_int("axis", -1)
    if shape is None or (order == 2 and axis in (-1, len(shape) - 1)):
        return None
    build = Builder(graph, str(node.name))
    norm = build.op(f"ReduceL{order}", node.inputs[0], build.integers([axis]), attributes={"keepdims": 1})
    # A norm of 0 divides as if it were positive: 0 stays 0, as in onnxruntime. (onnx2tf makes Relu of a Clip at so small a value.)
    return build.done(build.op("Div", node.inputs[0], build.op("Add", norm, build.scalar(_SMALLEST))))
