"""Constant negative indices -> the same positions counted from the start.

TFLite's GATHER_ND, which onnx2tf 2.6.9 writes, fails at run time: "indices_has_only_positive_elements was not true".
"""

import numpy as np
import onnx_ir as ir

from bridge.graph.lowering.replacement import Builder, Replacement
from bridge.graph.values import constant_array, static_shape


def lower(graph: ir.Graph, node: ir.Node) -> Replacement | None:
    """Source: ONNX GatherElements-13 (one axis), GatherND-13 and ScatterND-18 (leading axes behind the batch)."""
    shape, indices = static_shape(node.inputs[0]), constant_array(node.inputs[1])
    if shape is None or indices is None or not (indices < 0).any():
        return None
    if node.op_type in ("GatherND", "ScatterND"):
        batch = node.attributes.get_int("batch_dims", 0)
        sizes = np.array(shape[batch : batch + indices.shape[-1]], np.int64)
    else:
        sizes = np.array(shape[node.attributes.get_int("axis", 0)], np.int64)
    build = Builder(graph, str(node.name))
    attributes = {name: attribute.value for name, attribute in node.attributes.items()}
    positions = build.constant(np.where(indices < 0, indices + sizes, indices))
    return build.done(build.op(node.op_type, node.inputs[0], positions, *node.inputs[2:], attributes=attributes))
