"""Split into `num_outputs` parts that do not divide the axis -> Split with sizes.

onnx2tf 2.6.9 writes CUSTOM:ONNX_SPLIT, which no runtime has.
"""

import onnx_ir as ir

from bridge.graph.lowering.replacement import Builder, Replacement
from bridge.graph.values import static_shape


def lower(graph: ir.Graph, node: ir.Node) -> Replacement | None:
    """Source: ONNX Split-18: every part is ceil(size / num_outputs) long, the last one takes what is left."""
    shape = static_shape(node.inputs[0])
    parts = node.attributes.get_int("num_outputs", 0)
    if shape is None or not parts or (len(node.inputs) > 1 and node.inputs[1] is not None):
        return None
    axis = node.attributes.get_int("axis", 0)
    size = shape[axis]
    if size % parts == 0:
        return None
    part = -(-size // parts)
    sizes = [max(0, min(part, size - part * index)) for index in range(parts)]
    build = Builder(graph, str(node.name))
    return build.done(*build.ops("Split", node.inputs[0], build.integers(sizes), attributes={"axis": axis}, outputs=parts))
