"""Boxes and scores behind the last convolutions: everything from there to the outputs of a detector lies in `detection_tail`.

A detector's last layers write maps, and what follows lists the places of the maps: an axis as long as height times width times boxes per place.
Behind a classifier there is no such list, behind a segmentation or a super resolution the map stays a map.
"""

from math import prod

import onnx_ir as ir

from bridge.graph import provenance
from bridge.graph.patterns.ends import is_layer, leading_to, reached
from bridge.graph.patterns.matching import VIEWS, is_float, is_op
from bridge.graph.values import static_shape

NAME = "detection_tail"
PARTS = ("Split", "Slice", "Gather", "StridedSlice")
DECODING = ("Exp", "Sigmoid", "Softmax", "HardSigmoid")


def recognise(model: ir.Model) -> None:
    """Marks the tail of a detector."""
    nodes = list(model.graph)
    if not _lists_places(nodes):  # most models are no detectors, and this is seen at once
        return
    layers = [node for node in nodes if is_layer(node)]
    before, behind = leading_to(nodes, layers), reached(layers)
    heads = [node for node in layers if node not in before and is_op(node, "Conv", "ConvTranspose") and prod(_places(node.outputs[0])) > 1]
    tail = reached(heads) - before
    members = [node for node in nodes if node in tail and node in behind]
    if heads and _lists_places(members) and _separates(heads, members, model.graph):
        for node in members:
            provenance.place(node, NAME)


def _places(value: ir.Value | None) -> tuple[int, ...]:
    """Height and width of a map [N, C, H, W]."""
    shape = static_shape(value) or ()
    return shape[2:] if len(shape) == 4 else ()


def _lists_places(tail: list[ir.Node]) -> bool:
    """Whether a map of several channels becomes a list: a Reshape leaves fewer axes, more than the two of a classifier's."""
    for node in tail:
        if is_op(node, *VIEWS):
            source, target = static_shape(node.inputs[0]) or (), static_shape(node.outputs[0]) or ()
            if len(source) >= 4 and max(target, default=0) > max(source) and len(target) < len(source) + 1 and is_float(node.outputs[0]):
                return True
    return False


def _separates(heads: list[ir.Node], tail: list[ir.Node], graph: ir.Graph) -> bool:
    """Whether boxes and scores are told apart: by layers of their own, or by parts of one map; and something is decoded, or both go out."""
    apart = len(heads) > 1 or any(is_op(node, *PARTS) for node in tail)
    return apart and (len(graph.outputs) > 1 or any(is_op(node, *DECODING) for node in tail))
