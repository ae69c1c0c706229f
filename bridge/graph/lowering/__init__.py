"""Rewrites what onnx2tf gets wrong or cannot do into equal standard operators; one construct per file, with the symptom that was measured."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import onnx_ir as ir

from bridge.graph import provenance
from bridge.graph.facts import written_as
from bridge.graph.lowering import (
    computed_conv,
    computed_recurrent,
    computed_scales,
    einsum,
    elu_alpha,
    fourier,
    gemm_operands,
    infinite_equal,
    last_index,
    lp_normalization,
    mish,
    narrow_integers,
    negative_indices,
    negative_step,
    one_hot,
    outer_broadcast,
    pad_axes,
    plain_lstm,
    pools,
    prelu_slope,
    recurrent,
    resize,
    same_lower,
    scatter_reduction,
    single_operand,
    softplus,
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
        "ArgMax": (last_index.lower,),
        "ArgMin": (last_index.lower,),
        "AveragePool": (pools.lower,),
        "Conv": (computed_conv.lower_conv, same_lower.lower),
        "ConvTranspose": (computed_conv.lower_conv_transpose,),
        "DFT": (fourier.lower_dft,),
        "DequantizeLinear": (computed_scales.lower_dequantize,),
        "Div": (narrow_integers.lower,),
        "Einsum": (einsum.lower,),
        "Elu": (elu_alpha.lower,),
        "Equal": (infinite_equal.lower, narrow_integers.lower),
        "GRU": (computed_recurrent.lower, recurrent.lower),
        "GatherElements": (negative_indices.lower,),
        "GatherND": (negative_indices.lower,),
        "Gemm": (gemm_operands.lower,),
        "Greater": (narrow_integers.lower,),
        "GreaterOrEqual": (narrow_integers.lower,),
        "LSTM": (computed_recurrent.lower, recurrent.lower, plain_lstm.lower),
        "Less": (narrow_integers.lower,),
        "LessOrEqual": (narrow_integers.lower,),
        "LpNormalization": (lp_normalization.lower,),
        "LpPool": (pools.lower,),
        "Max": (single_operand.lower, narrow_integers.lower),
        "MaxPool": (pools.lower,),
        "Mean": (single_operand.lower,),
        "Min": (single_operand.lower, narrow_integers.lower),
        "Mod": (narrow_integers.lower,),
        "Mul": (narrow_integers.lower,),
        "Neg": (narrow_integers.lower,),
        "OneHot": (one_hot.lower,),
        "PRelu": (prelu_slope.lower,),
        "Pad": (wrap_pad.lower, pad_axes.lower),
        "QLinearMatMul": (computed_scales.lower_matmul,),
        "QuantizeLinear": (computed_scales.lower_quantize,),
        "RNN": (computed_recurrent.lower, recurrent.lower),
        "Resize": (resize.lower,),
        "STFT": (fourier.lower_stft,),
        "ScatterElements": (scatter_reduction.lower, negative_indices.lower),
        "ScatterND": (scatter_reduction.lower, negative_indices.lower),
        "Slice": (negative_step.lower,),
        "Split": (uneven_split.lower,),
        "Sub": (narrow_integers.lower,),
        "Sum": (single_operand.lower,),
    }
)


# After the patterns, which know these nodes as parts of larger ones.
LATE_LOWERINGS: Mapping[str, tuple[Lowering, ...]] = MappingProxyType(
    {op_type: (outer_broadcast.lower,) for op_type in ("Add", "Div", "Mul", "Sub")}
    | {"Clip": (tiny_clip.lower,), "Mish": (mish.lower,), "Softplus": (softplus.lower,)},
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
