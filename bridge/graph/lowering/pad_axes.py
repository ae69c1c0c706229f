"""Pad with an `axes` input -> Pad of all axes.

onnx2tf 2.6.9 writes CUSTOM:ONNX_PAD, which no runtime has.
"""

import onnx_ir as ir

from bridge.graph.lowering.replacement import Builder, Replacement
from bridge.graph.values import constant_array, static_shape


def lower(graph: ir.Graph, node: ir.Node) -> Replacement | None:
    """Source: ONNX Pad-18: `pads` lists the begins of `axes`, then their ends."""
    shape = static_shape(node.inputs[0])
    if shape is None or len(node.inputs) < 4 or node.inputs[3] is None:
        return None
    pads, axes = constant_array(node.inputs[1]), constant_array(node.inputs[3])
    if pads is None or axes is None:
        return None
    rank = len(shape)
    full = [0] * (2 * rank)
    for position, axis in enumerate(axes.tolist()):
        full[axis % rank] = int(pads[position])
        full[rank + axis % rank] = int(pads[axes.size + position])
    build = Builder(graph, str(node.name))
    mode = node.attributes.get_string("mode", "constant")
    return build.done(build.op("Pad", node.inputs[0], build.integers(full), node.inputs[2], attributes={"mode": mode}))
