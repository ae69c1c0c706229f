"""Multiplications and sums with one constant per channel: image normalisation at the input, layer scale, a BatchNormalization that nothing took in."""

from collections.abc import Iterator

import onnx_ir as ir

from bridge.graph import provenance
from bridge.graph.patterns import attention, batch_norm
from bridge.graph.patterns.matching import VIEWS, constant, is_constant, is_float, is_op
from bridge.graph.values import only_user, static_shape

NAME = "rescaling"
FACTORS = ("Mul", "Div")
OFFSETS = ("Add", "Sub")
MOVES = (*VIEWS, "Transpose", "Cast")


def recognise(model: ir.Model) -> None:
    """Marks what still rescales; run it when everything that can go into weights has gone, and after attention."""
    for value in model.graph.inputs:
        for node in _at_input(value):
            provenance.place(node, NAME)
    for node in model.graph:
        if provenance.pattern(node) == batch_norm.NAME:
            provenance.place(node, NAME)
        elif is_op(node, *FACTORS) and _is_free(node) and _varies_along_one_axis(node):
            for member in _with_offsets(node):
                provenance.place(member, NAME)


def _is_free(node: ir.Node) -> bool:
    """Whether the node is part of nothing larger; a factor per head of attention scores is no rescaling."""
    return provenance.pattern(node) is None and attention.NAME not in provenance.places(node)


def _at_input(value: ir.Value) -> Iterator[ir.Node]:
    """The sums and products with constants that alone read a model input, one after another."""
    found: list[ir.Node] = []
    if not is_float(value) and not any(is_op(user, "Cast") for user in value.consumers()):
        return
    while (node := only_user(value)) is not None:
        if is_op(node, *FACTORS, *OFFSETS) and provenance.pattern(node) is None and (_is_number(node) or _varies_along_one_axis(node)):
            found.append(node)
        elif not is_op(node, *MOVES):
            break
        value = node.outputs[0]
    if any(is_op(node, *FACTORS) or not _is_number(node) for node in found) or len(found) > 1:
        yield from found


def _is_number(node: ir.Node) -> bool:
    return any((array := constant(value)) is not None and array.size == 1 for value in node.inputs)


def _varies_along_one_axis(node: ir.Node) -> bool:
    """Whether one operand is a float constant with one number per channel of the other."""
    shape = static_shape(node.outputs[0]) or ()
    for value, other in (node.inputs, reversed(node.inputs)):
        if value is None or other is None or not is_constant(value) or not is_float(value) or static_shape(other) != shape:
            continue
        found = constant(value)
        if found is not None and found.ndim <= len(shape):
            return len([size for size in found.shape if size > 1]) == 1
    return False


def _with_offsets(node: ir.Node) -> Iterator[ir.Node]:
    """The product, and the sums with a constant per channel right before and behind it."""
    yield node
    behind = only_user(node.outputs[0])
    before = next((value.producer() for value in node.inputs if value is not None and only_user(value) is node), None)
    for offset in (before, behind):
        if offset is not None and is_op(offset, *OFFSETS) and provenance.pattern(offset) is None and _varies_along_one_axis(offset):
            yield offset
