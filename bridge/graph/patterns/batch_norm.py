"""BatchNormalization nodes that no convolution took in, also where a converter spelled them out as `x * scale + offset` per channel."""

import onnx_ir as ir

from bridge.graph import provenance
from bridge.graph.patterns import matching
from bridge.graph.patterns.matching import constant, is_op
from bridge.graph.values import only_user, static_shape

NAME = "batch_norm"


def recognise(model: ir.Model) -> None:
    """Marks every BatchNormalization that is not part of another normalisation."""
    for node in model.graph:
        if provenance.pattern(node) is not None:
            continue
        if is_op(node, "BatchNormalization"):
            provenance.mark(node, NAME)
        elif is_op(node, "Mul") and (axis := _channels(node)) is not None:
            offset = only_user(node.outputs[0])
            if offset is not None and is_op(offset, "Add", "Sub") and provenance.pattern(offset) is None and _channels(offset) == axis:
                matching.mark_all([node, offset], NAME)


def _channels(node: ir.Node) -> int | None:
    """The one axis, counted from the last as -1, along which the node's constant varies, None without such a constant."""
    shape = static_shape(node.outputs[0]) or ()
    for value in node.inputs:
        found = constant(value)
        if found is not None and found.ndim <= len(shape):
            varying = [axis - found.ndim for axis, size in enumerate(found.shape) if size > 1]
            return varying[0] if len(varying) == 1 else None
    return None
