"""Operators of onnxruntime's own domain that its optimizer writes, spelled out in standard ones; one kind of operator per file.

Source: onnxruntime docs/ContribOperators.md, and its CPU kernels where that leaves a question open.
"""

from collections.abc import Mapping
from types import MappingProxyType

import onnx_ir as ir

from bridge.graph import provenance
from bridge.graph.contrib import (
    activations,
    attention,
    convolution,
    embedding,
    experimental,
    integer_weights,
    movement,
    normalization,
    products,
    quantized,
    rotary,
)
from bridge.graph.contrib.expansion import Expansion
from bridge.graph.facts import is_computing, written_as
from bridge.graph.folding import fold_constants
from bridge.graph.lowering.replacement import Builder

__all__ = ["EXPANSIONS", "expand_contrib", "move_to_own_domain"]

DOMAIN = "com.microsoft"

EXPANSIONS: Mapping[str, Expansion] = MappingProxyType(
    {
        "Affine": experimental.affine,
        "Attention": attention.attention,
        "BiasAdd": products.bias_add,
        "BiasDropout": products.bias_dropout,
        "BiasGelu": activations.gelu,
        "BiasSoftmax": products.bias_softmax,
        "BiasSplitGelu": activations.bias_split_gelu,
        "BitmaskBiasDropout": products.bias_dropout,
        "BitmaskDropout": movement.identity,
        "CDist": products.distance,
        "ConvTransposeWithDynamicPads": convolution.conv_transpose_with_pads,
        "DequantizeLinear": movement.standard,
        "DynamicQuantizeMatMul": integer_weights.dynamic_quantize_matmul,
        "EmbedLayerNormalization": embedding.embed_layer_norm,
        "ExpandDims": movement.expand_dims,
        "FastGelu": activations.fast_gelu,
        "FusedConv": convolution.fused_conv,
        "FusedGemm": products.fused_gemm,
        "FusedMatMul": products.fused_matmul,
        "FusedMatMulActivation": products.fused_matmul,
        "GatedAdd": products.gated_add,
        "GatedRMSNorm": normalization.gated_rms_norm,
        "GatherND": movement.gather_nd,
        "Gelu": activations.gelu,
        "GemmFastGelu": activations.gemm_fast_gelu,
        "GridSample": movement.grid_sample,
        "GroupNorm": normalization.group_norm,
        "GroupQueryAttention": rotary.group_query_attention,
        "ImageScaler": experimental.image_scaler,
        "MatMulIntegerToFloat": integer_weights.matmul_integer_to_float,
        "MatMulNBits": integer_weights.matmul_nbits,
        "MultiHeadAttention": attention.multi_head_attention,
        "NhwcConv": convolution.nhwc_conv,
        "NhwcFusedConv": convolution.nhwc_conv,
        "NhwcMaxPool": convolution.nhwc_max_pool,
        "Pad": movement.pad,
        "ParametricSoftplus": experimental.parametric_softplus,
        "QAttention": integer_weights.quantized_attention,
        "QGemm": quantized.gemm,
        "QLinearAdd": quantized.add,
        "QLinearAveragePool": quantized.average_pool,
        "QLinearConcat": quantized.concat,
        "QLinearConv": quantized.conv,
        "QLinearGlobalAveragePool": quantized.global_average_pool,
        "QLinearLeakyRelu": quantized.leaky_relu,
        "QLinearMul": quantized.multiply,
        "QLinearReduceMean": quantized.reduce_mean,
        "QLinearSigmoid": quantized.sigmoid,
        "QLinearSoftmax": quantized.softmax,
        "QLinearWhere": quantized.where,
        "QuantizeLinear": movement.standard,
        "QuickGelu": activations.quick_gelu,
        "Range": movement.arange,
        "RotaryEmbedding": rotary.rotary_embedding,
        "SampleOp": movement.identity,
        "Scale": experimental.scale,
        "ScaledSiLU": activations.scaled_silu,
        "ScaledTanh": experimental.scaled_tanh,
        "SimplifiedLayerNormalization": normalization.rms_norm,
        "SkipGroupNorm": normalization.skip_group_norm,
        "SkipLayerNormalization": normalization.skip_layer_norm,
        "SkipSimplifiedLayerNormalization": normalization.skip_rms_norm,
        "TransposeMatMul": products.fused_matmul,
        "Trilu": movement.standard,
    }
)

# onnxruntime runs these in the standard domain, where no version converter knows them.
_MISPLACED = frozenset({"Affine", "ImageScaler", "ParametricSoftplus", "Scale", "ScaledTanh", "SimplifiedLayerNormalization"})


def move_to_own_domain(model: ir.Model) -> None:
    """What onnxruntime writes into the standard domain goes back to its own."""
    for node in model.graph:
        if node.domain == "" and node.op_type in _MISPLACED:
            node.domain = DOMAIN
            model.opset_imports.setdefault(DOMAIN, 1)


def expand_contrib(model: ir.Model) -> None:
    """Replaces what `EXPANSIONS` knows; what stays carries the reason.

    Nothing behind such an operator has a shape, for onnx infers none through it. So those that need no shape go first, and each round of
    shape inference frees others: two rounds for a BERT, whose masks come from the inputs.
    """
    waiting = _expand(model.graph)
    while waiting:
        fold_constants(model)
        left = _expand(model.graph)
        if left == waiting:
            return
        waiting = left


def _expand(graph: ir.Graph) -> int:
    """Replaces what can be replaced now; how many nodes that a table row exists for are left."""
    left = 0
    for node in list(graph):
        expansion = EXPANSIONS.get(node.op_type) if node.domain == DOMAIN else None
        if expansion is None:
            continue
        builder = Builder(graph, str(node.name))
        found = expansion(builder, node)
        if isinstance(found, str):
            builder.discard()
            provenance.refuse(node, found)
            left += 1
            continue
        provenance.inherit(found.nodes, [node], main=node)
        if sum(is_computing(new) for new in found.nodes) > 1:
            for new in found.nodes:
                written_as(new, node.op_type)
        pairs = [(old, new) for old, new in zip(node.outputs, found.outputs, strict=False) if new is not None and old.name]
        ir.convenience.replace_nodes_and_values(graph, node, [node], found.nodes, [old for old, _ in pairs], [new for _, new in pairs])
    return left
