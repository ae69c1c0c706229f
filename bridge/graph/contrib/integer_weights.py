"""Float products with weights in integers: the weights become float constants, which are quantized anew by rule."""

import numpy as np
import onnx_ir as ir

from bridge.graph.contrib.attention import self_attention
from bridge.graph.contrib.expansion import known, operand, total
from bridge.graph.contrib.quantized import dequantized
from bridge.graph.lowering.replacement import Builder, Replacement

_NOT_CONSTANT = "its weights, which are no constants"


def dynamic_quantize_matmul(build: Builder, node: ir.Node) -> Replacement | str:
    """DynamicQuantizeMatMul(A, B, b_scale, b_zero, bias): A is rounded to 8 bits at run time, as in the original."""
    weights = _float_weights(build, *(operand(node, index) for index in range(1, 4)))
    if weights is None:
        return _NOT_CONSTANT
    stored, scale, zero = build.ops("DynamicQuantizeLinear", node.inputs[0], outputs=3)
    product = build.op("MatMul", dequantized(build, stored, scale, zero), weights)
    return build.done(total(build, product, operand(node, 4)))


def matmul_integer_to_float(build: Builder, node: ir.Node) -> Replacement | str:
    """MatMulIntegerToFloat(A, B, a_scale, b_scale, a_zero, b_zero, bias)."""
    a, b, a_scale, b_scale, a_zero, b_zero, bias = (operand(node, index) for index in range(7))
    weights = _float_weights(build, b, b_scale, b_zero)
    if weights is None:
        return _NOT_CONSTANT
    return build.done(total(build, build.op("MatMul", dequantized(build, a, a_scale, a_zero), weights), bias))


def quantized_attention(build: Builder, node: ir.Node) -> Replacement | str:
    """QAttention(input, weight, bias, input_scale, weight_scale, mask_index, input_zero, weight_zero, past)."""
    x, weight, bias, x_scale, scale, mask, x_zero, zero, past = (operand(node, index) for index in range(9))
    weights = _float_weights(build, weight, scale, zero)
    if weights is None or x is None:
        return _NOT_CONSTANT
    real = dequantized(build, x, x_scale, x_zero)
    real.shape, real.type = x.shape, ir.TensorType(ir.DataType.FLOAT)
    projected = total(build, build.op("MatMul", real, weights), bias)
    return self_attention(build, node, real, weights, projected, mask=mask, past=past, bias=None)


def _float_weights(build: Builder, stored: ir.Value | None, scale: ir.Value | None, zero: ir.Value | None) -> ir.Value | None:
    """(stored - zero) * scale as a constant; scale and zero point are scalars, or vectors along the last axis."""
    values, scales, zeros = known(stored), known(scale), known(zero)
    if values is None or scales is None or (zero is not None and zeros is None):
        return None
    shifted = values.astype(np.float32) - (0 if zeros is None else zeros.astype(np.float32))
    return build.constant((shifted * scales).astype(np.float32))


def matmul_nbits(build: Builder, node: ir.Node) -> Replacement | str:
    """MatMulNBits(A, B, scales, zero_points, g_idx, bias) with 2, 4 or 8 bits."""
    attributes = node.attributes
    columns, rows, block = (attributes.get_int(name, 0) for name in ("N", "K", "block_size"))
    bits = attributes.get_int("bits", 4)
    packed, scales, zeros = (known(operand(node, index)) for index in (1, 2, 3))
    if packed is None or scales is None or (operand(node, 3) is not None and zeros is None):
        return _NOT_CONSTANT
    if operand(node, 4) is not None or attributes.get_int("weight_prepacked", 0) != 0 or bits not in (2, 4, 8):
        return "its order of groups, its packing, or its number of bits"
    blocks = -(-rows // block)
    values = _unpacked(packed.reshape(columns, -1), bits)[:, : blocks * block].reshape(columns, blocks, block)
    if zeros is None:
        offset = np.full((columns, blocks), 1 << (bits - 1), np.float32)
    elif zeros.dtype == np.uint8:
        offset = _unpacked(zeros.reshape(columns, -1), bits)[:, :blocks]
    else:
        offset = zeros.reshape(columns, blocks).astype(np.float32)
    weights = (values - offset[:, :, None]) * scales.reshape(columns, blocks, 1).astype(np.float32)
    constant = build.constant(weights.reshape(columns, blocks * block)[:, :rows].T.astype(scales.dtype))
    return build.done(total(build, build.op("MatMul", node.inputs[0], constant), operand(node, 5)))


def _unpacked(packed: np.ndarray, bits: int) -> np.ndarray:
    """[R, bytes] uint8 -> [R, values] float32, the lowest bits of a byte first."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    return (packed[:, :, None] >> shifts & ((1 << bits) - 1)).reshape(packed.shape[0], -1).astype(np.float32)
