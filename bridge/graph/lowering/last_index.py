"""ArgMax and ArgMin that take the last of equal elements -> the first one of the reversed axis, counted from behind.

onnx2tf 2.6.9 stops with NotImplementedError.
"""

import onnx_ir as ir

from bridge.graph.lowering.replacement import Builder, Replacement
from bridge.graph.values import static_shape


def lower(graph: ir.Graph, node: ir.Node) -> Replacement | None:
    """Source: ONNX ArgMax-13, ArgMin-13."""
    shape = static_shape(node.inputs[0])
    if not node.attributes.get_int("select_last_index", 0) or shape is None:
        return None
    axis = node.attributes.get_int("axis", 0)
    build = Builder(graph, str(node.name))
    turned = build.op("Gather", node.inputs[0], build.integers(range(shape[axis] - 1, -1, -1)), attributes={"axis": axis})
    first = build.op(node.op_type, turned, attributes={"axis": axis, "keepdims": node.attributes.get_int("keepdims", 1)})
    return build.done(build.op("Sub", build.integers([shape[axis] - 1]), first))
