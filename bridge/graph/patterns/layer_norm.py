"""(x - mean(x)) / sqrt(var(x) + epsilon) * scale + bias -> LayerNormalization, over trailing axes.

What the operator cannot say (a norm over other axes, an epsilon outside of the root) or what would take a value from another reader
stays as it is, with every node marked. Norms of each channel over the picture get the name `instance_norm`, norms of a tensor that was
cut into groups for them `group_norm`; these are fused only where the groups are one axis of three.
"""

from math import prod

import numpy as np
import onnx_ir as ir

from bridge.graph.patterns import matching
from bridge.graph.patterns.matching import Array
from bridge.graph.patterns.norm_regions import Candidate, norm_groups
from bridge.graph.patterns.norm_terms import Norm
from bridge.graph.values import new_constant, static_shape

NAME = "layer_norm"
GROUP = "group_norm"
OPSET = 17
LARGEST_SCALE = 1 << 16  # elements; the operator needs a scale, also where the norm has none


def recognise(model: ir.Model) -> None:
    """Fuses or marks every layer normalisation of the graph.

    Args:
        model: changed in place. Below opset 17, which has no LayerNormalization, everything is only marked.
    """
    graph = model.graph
    matching.mark_all((node for node in graph if matching.is_op(node, "LayerNormalization")), NAME)
    has_op = graph.opset_imports.get("", 0) >= OPSET
    for group in norm_groups(graph):
        if group[0].norm.kind == NAME:
            _recognise_group(graph, group, has_op=has_op)


def _recognise_group(graph: ir.Graph, group: tuple[Candidate, ...], *, has_op: bool) -> None:
    name = _region_name(group)
    taken: set[ir.Node] = set()
    for candidate in reversed(group):
        if not taken.isdisjoint(candidate.nodes):
            continue
        fused = _operator(graph, candidate) if has_op and name == NAME and candidate.closed else None
        if fused is not None:
            taken.update(candidate.nodes)
            recognised = GROUP if _is_cut_into_groups(candidate) else NAME
            matching.fuse(graph, [*_view_before(candidate), *candidate.nodes], candidate.value, fused, recognised)
    if not taken:
        for candidate in group:
            matching.mark_all(candidate.nodes, name)


def _region_name(group: tuple[Candidate, ...]) -> str:
    """The usual name of a norm over these axes."""
    norm, shape = group[0].norm, group[0].norm.over.shape
    returned = group[-1]
    if not returned.norm.axes and len(static_shape(returned.value) or ()) >= 4:
        return GROUP
    pictures = (frozenset(range(2, len(shape))), frozenset(range(1, len(shape) - 1)))
    if len(shape) >= 4 and norm.over.axes in pictures and not any(_varies(candidate.norm) for candidate in group):
        return "instance_norm"
    return NAME


def _is_cut_into_groups(candidate: Candidate) -> bool:
    """Whether the norm is of [N, groups, rest] that was a tensor [N, C, ...] of more channels."""
    over = candidate.norm.over
    source = over.base
    while (view := source.producer()) is not None and matching.is_op(view, *matching.VIEWS) and view.inputs[0] is not None:
        source = view.inputs[0]
    before = static_shape(source)
    if before is None or len(before) < 3 or len(over.shape) != 3 or over.axes != {2} or before[0] != over.shape[0]:
        return False
    return over.shape[1] < before[1] and before[1] % over.shape[1] == 0


def _varies(norm: Norm) -> bool:
    """Whether the affine differs along the normalised axes."""
    sizes = (
        size
        for constant in (norm.scale, norm.bias)
        if constant is not None
        for axis, size in enumerate(constant.shape, len(norm.over.shape) - constant.ndim)
        if axis in norm.axes
    )
    return any(size > 1 for size in sizes)


def _operator(graph: ir.Graph, candidate: Candidate) -> ir.Node | None:
    """The LayerNormalization that computes the candidate, None where there is none."""
    norm, value = candidate.norm, candidate.value
    shape = static_shape(value) or ()
    source = _source(norm, shape)
    axis = _first_axis(norm, shape)
    if source is None or axis is None or not norm.power.exact:
        return None
    if (norm.scale is None or norm.scale.size == 1) and norm.over.count > LARGEST_SCALE:
        return None
    factor = norm.power.factor
    scale = _affine(norm.scale, shape, axis, np.ones(()))
    bias = None if norm.bias is None else _affine(norm.bias, shape, axis, np.zeros(()))
    if scale is None or (norm.bias is not None and bias is None):
        return None
    name = value.name or "layer_norm"
    inputs = [source, new_constant(graph, f"{name}_scale", (scale / np.sqrt(factor)).astype(np.float32))]
    if bias is not None:
        inputs.append(new_constant(graph, f"{name}_bias", bias.astype(np.float32)))
    return ir.node("LayerNormalization", inputs, {"axis": axis - len(shape), "epsilon": norm.power.epsilon / factor})


def _source(norm: Norm, shape: tuple[int, ...]) -> ir.Value | None:
    """The tensor to normalise in the shape of the result: as it is, or before the view that the norm was taken of."""
    base = norm.over.base
    if static_shape(base) == shape:
        return base
    view = base.producer()
    before = view.inputs[0] if matching.is_op(view, *matching.VIEWS) and view is not None else None
    return before if before is not None and static_shape(before) == shape else None


def _view_before(candidate: Candidate) -> list[ir.Node]:
    """The view that the norm is taken of where the result has the shape before it and nobody else reads it."""
    base = candidate.norm.over.base
    view = base.producer()
    if view is None or static_shape(base) == static_shape(candidate.value):
        return []
    return [view] if matching.is_closed([view, *candidate.nodes], candidate.value) else []


def _first_axis(norm: Norm, shape: tuple[int, ...]) -> int | None:
    """The axis from which on everything is normalised over, None where that is not what the norm does."""
    if not norm.axes or len(shape) - 1 not in norm.axes:
        return None
    axis = matching.shape_ends_with(shape, norm.over.count)
    outside = (size for position, size in enumerate(shape) if position in norm.axes and axis is not None and position < axis)
    return axis if all(size == 1 for size in outside) else None


def _affine(constant: Array | None, shape: tuple[int, ...], axis: int, missing: Array) -> Array | None:
    """The constant in the shape of the normalised axes, None where it varies along others."""
    found = missing if constant is None else constant
    inner = found.shape[max(found.ndim - (len(shape) - axis), 0) :]
    if prod(inner) != found.size:
        return None
    return np.broadcast_to(found.reshape(inner), shape[axis:])
