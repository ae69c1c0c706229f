"""Rewrites what onnx2tf gets wrong or cannot do into equal standard operators; one construct per file, with the symptom that was measured."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import onnx_ir as ir

from bridge.graph import provenance
from bridge.graph.facts import written_as
from bridge.graph.lowering import (
    einsum,
    elu_alpha,
    gemm_operands,
    lp_normalization,
    narrow_integers,
    negative_indices,
    negative_step,
    outer_broadcast,
    pad_axes,
    plain_lstm,
    prelu_slope,
    recurrent,
    resize,
    same_lower,
    single_operand,
    tiny_clip,
    uneven_split,
    wrap_pad,
)
from bridge.graph.lowering.replacement import Replacement

# None = this node is fine as it is.
type Lowering = Callable[[ir.Graph, ir.Node], Replacement | None]

# Operator -> lowerings, the first one that replaces the node wins.
LOWERINGS: Mapping[str, tuple[Lowering, ...]] = MappingProxyType(
    {
        "Abs": (narrow_integers.lower,),
        "Add": (narrow_integers.lower,),
        "Conv": (same_lower.lower,),
        "Div": (narrow_integers.lower,),
        "Einsum": (einsum.lower,),
        "Elu": (elu_alpha.lower,),
        "Equal": (narrow_integers.lower,),
        "GRU": (recurrent.lower,),
        "GatherElements": (negative_indices.lower,),
        "GatherND": (negative_indices.lower,),
        "Gemm": (gemm_operands.lower,),
        "Greater": (narrow_integers.lower,),
        "GreaterOrEqual": (narrow_integers.lower,),
        "LSTM": (recurrent.lower, plain_lstm.lower),
        "Less": (narrow_integers.lower,),
        "LessOrEqual": (narrow_integers.lower,),
        "LpNormalization": (lp_normalization.lower,),
        "Max": (single_operand.lower, narrow_integers.lower),
        "Mean": (single_operand.lower,),
        "Min": (single_operand.lower, narrow_integers.lower),
        "Mod": (narrow_integers.lower,),
        "Mul": (narrow_integers.lower,),
        "Neg": (narrow_integers.lower,),
        "PRelu": (prelu_slope.lower,),
        "Pad": (wrap_pad.lower, pad_axes.lower),
        "RNN": (recurrent.lower,),
        "Resize": (resize.lower,),
        "ScatterND": (negative_indices.lower,),
        "Slice": (negative_step.lower,),
        "Split": (uneven_split.lower,),
        "Sub": (narrow_integers.lower,),
        "Sum": (single_operand.lower,),
    }
)


# After the patterns, which know these nodes as parts of larger ones.
LATE_LOWERINGS: Mapping[str, tuple[Lowering, ...]] = MappingProxyType(
    {op_type: (outer_broadcast.lower,) for op_type in ("Add", "Div", "Mul", "Sub")} | {"Clip": (tiny_clip.lower,)},
)


def lower(model: ir.Model) -> None:
    """Applies `LOWERINGS` to every node of a model with static shapes and folded constants; shapes of new values are left open."""
    _apply(model.graph, LOWERINGS)


def lower_late(model: ir.Model) -> None:
    """Applies `LATE_LOWERINGS` likewise."""
    _apply(model.graph, LATE_LOWERINGS)


def _apply(graph: ir.Graph, table: Mapping[str, tuple[Lowering, ...]]) -> None:
    for node in list(graph):
        for lowering in table.get(node.op_type, ()) if node.domain == "" else ():
            found = lowering(graph, node)
            if found is not None:
                _replace(graph, node, found)
                break


def _replace(graph: ir.Graph, node: ir.Node, found: Replacement) -> None:
    provenance.inherit(found.nodes, [node], main=node)
    for new in found.nodes:
        written_as(new, node.op_type)
    pairs = [(old, new) for old, new in zip(node.outputs, found.outputs, strict=True) if new is not None and old.name]
    ir.convenience.replace_nodes_and_values(graph, node, [node], found.nodes, [old for old, _ in pairs], [new for _, new in pairs])
