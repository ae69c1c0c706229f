"""InstanceNormalization and GroupNormalization, with the reshapes and the affine that exporters put around the one to get the other."""

from collections.abc import Iterator

import onnx_ir as ir

from bridge.graph.patterns import matching
from bridge.graph.patterns.matching import is_constant, is_op
from bridge.graph.values import only_user, static_shape

INSTANCE = "instance_norm"
GROUP = "group_norm"


def recognise(model: ir.Model) -> None:
    """Marks norms of channels and of groups of channels."""
    for node in model.graph:
        if is_op(node, "GroupNormalization"):
            matching.mark_all([node], GROUP)
        elif is_op(node, "InstanceNormalization"):
            around = list(_grouped(node))
            matching.mark_all([node, *around], GROUP if around else INSTANCE)


def _grouped(node: ir.Node) -> Iterator[ir.Node]:
    """The nodes around an InstanceNormalization of reshaped groups, none if it normalises the channels themselves."""
    before = None if node.inputs[0] is None else node.inputs[0].producer()
    after = only_user(node.outputs[0])
    if before is None or after is None or not is_op(before, "Reshape") or not is_op(after, "Reshape"):
        return
    if before.inputs[0] is None or static_shape(before.inputs[0]) != static_shape(after.outputs[0]):
        return
    yield from (before, after)
    for op_type in ("Mul", "Add"):
        affine = only_user(after.outputs[0])
        if affine is None or not is_op(affine, op_type) or not any(is_constant(value) for value in affine.inputs):
            return
        yield affine
        after = affine
