"""Negative indices -> the same positions counted from the start.

TFLite's GATHER_ND, which onnx2tf 2.6.9 writes, fails at run time: "indices_has_only_positive_elements was not true".
"""

import numpy as np
import onnx_ir as ir

from bridge.graph.lowering.replacement import Builder, Replacement
from bridge.graph.values import constant_array, static_shape

# Operators whose integers are never negative.
_COUNTING = frozenset({"ArgMax", "ArgMin", "NonZero", "Range", "TopK"})


def lower(graph: ir.Graph, node: ir.Node) -> Replacement | None:
    """Source: ONNX GatherElements-13 and ScatterElements-18 (one axis), GatherND-13 and ScatterND-18 (leading axes behind the batch)."""
    shape, places = static_shape(node.inputs[0]), static_shape(node.inputs[1])
    indices = constant_array(node.inputs[1])
    if shape is None or places is None or not _may_be_negative(node.inputs[1], indices):
        return None
    if node.op_type in ("GatherND", "ScatterND"):
        batch = node.attributes.get_int("batch_dims", 0)
        sizes = np.array(shape[batch : batch + places[-1]], np.int64)
    else:
        sizes = np.array(shape[node.attributes.get_int("axis", 0)], np.int64)
    build = Builder(graph, str(node.name))
    attributes = {name: attribute.value for name, attribute in node.attributes.items()}
    if indices is not None:
        positions = build.constant(np.where(indices < 0, indices + sizes, indices))
    else:
        wide = build.op("Cast", node.inputs[1], attributes={"to": int(ir.DataType.INT64)})
        below = build.op("Cast", build.op("Less", wide, build.integers([0])), attributes={"to": int(ir.DataType.INT64)})
        positions = build.op("Add", wide, build.op("Mul", below, build.constant(sizes)))
    return build.done(build.op(node.op_type, node.inputs[0], positions, *node.inputs[2:], attributes=attributes))


def _may_be_negative(value: ir.Value | None, indices: np.ndarray | None) -> bool:
    if indices is not None:
        return bool((indices < 0).any())
    while value is not None and (producer := value.producer()) is not None and producer.op_type in ("Cast", "Unsqueeze", "Expand", "Reshape"):
        value = producer.inputs[0]
    return value is not None and (value.is_graph_input() or ((producer := value.producer()) is not None and producer.op_type not in _COUNTING))
