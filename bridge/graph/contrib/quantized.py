"""Operators on 8-bit integers, as the float operator between DequantizeLinear and QuantizeLinear."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from bridge.graph.contrib.convolution import channels_first, channels_last
from bridge.graph.contrib.expansion import Expansion, operand, own_attributes
from bridge.graph.lowering.replacement import Builder, Replacement

_PARAMETERS = 3  # value, scale, zero point


def real(build: Builder, node: ir.Node, index: int, *, axis: int | None = None) -> ir.Value:
    """The operand at `index` as float; its scale and zero point stand behind it."""
    value, scale, zero = (operand(node, index + offset) for offset in range(_PARAMETERS))
    return dequantized(build, value, scale, zero, axis=axis)


def dequantized(build: Builder, value: ir.Value | None, scale: ir.Value | None, zero: ir.Value | None, *, axis: int | None = None) -> ir.Value:
    """(value - zero) * scale; `axis` belongs to scales that are vectors."""
    return build.op("DequantizeLinear", value, scale, zero, attributes={} if axis is None else {"axis": axis})


def _stored(build: Builder, node: ir.Node, value: ir.Value, index: int) -> ir.Value:
    """`value` in integers, with the scale at `index` and the zero point behind it; without one, 0 of the type of the first operand."""
    zero, first = operand(node, index + 1), node.inputs[0]
    if zero is None and first is not None and first.dtype is not None:
        zero = build.constant(np.zeros((), first.dtype.numpy()))
    return build.op("QuantizeLinear", value, operand(node, index), zero)


def _binary(op_type: str) -> Expansion:
    def expand(build: Builder, node: ir.Node) -> Replacement | str:
        result = build.op(op_type, real(build, node, 0), real(build, node, _PARAMETERS))
        return build.done(_stored(build, node, result, 2 * _PARAMETERS))

    return expand


def _unary(op_type: str, *, without: Sequence[str] = ()) -> Expansion:
    def expand(build: Builder, node: ir.Node) -> Replacement | str:
        result = build.op(op_type, real(build, node, 0), attributes=own_attributes(node, *without))
        return build.done(_stored(build, node, result, _PARAMETERS))

    return expand


def _pool(op_type: str) -> Expansion:
    """Pooling of [N, C, H, W], or with `channels_last` of [N, H, W, C]."""

    def expand(build: Builder, node: ir.Node) -> Replacement | str:
        last = bool(node.attributes.get_int("channels_last", 0))
        x = real(build, node, 0)
        result = build.op(op_type, channels_first(build, x) if last else x, attributes=own_attributes(node, "channels_last"))
        return build.done(_stored(build, node, channels_last(build, result) if last else result, _PARAMETERS))

    return expand


def softmax(build: Builder, node: ir.Node) -> Replacement | str:
    """QLinearSoftmax."""
    if node.attributes.get_int("opset", 13) < 13 and node.attributes.get_int("axis", 1) != -1:
        return "its softmax over several axes at once"
    result = build.op("Softmax", real(build, node, 0), attributes={"axis": node.attributes.get_int("axis", -1)})
    return build.done(_stored(build, node, result, _PARAMETERS))


def reduce_mean(build: Builder, node: ir.Node) -> Replacement | str:
    """QLinearReduceMean."""
    axes = build.integers([int(axis) for axis in node.attributes.get_ints("axes", [])])
    result = build.op("ReduceMean", real(build, node, 0), axes, attributes={"keepdims": node.attributes.get_int("keepdims", 1)})
    return build.done(_stored(build, node, result, _PARAMETERS))


def where(build: Builder, node: ir.Node) -> Replacement | str:
    """QLinearWhere(condition, X, x_scale, x_zero, Y, y_scale, y_zero, z_scale, z_zero)."""
    result = build.op("Where", node.inputs[0], real(build, node, 1), real(build, node, 4))
    return build.done(_stored(build, node, result, 7))


def concat(build: Builder, node: ir.Node) -> Replacement | str:
    """QLinearConcat(Y_scale, Y_zero, then value, scale, zero point of each operand)."""
    parts = [real(build, node, index) for index in range(2, len(node.inputs), _PARAMETERS)]
    joined = build.op("Concat", *parts, attributes={"axis": node.attributes.get_int("axis", 0)})
    return build.done(_stored(build, node, joined, 0))


def conv(build: Builder, node: ir.Node) -> Replacement | str:
    """QLinearConv with `channels_last`; weights are [M, C / group, H, W], the bias int32 in the scale of the product."""
    last = bool(node.attributes.get_int("channels_last", 0))
    x = real(build, node, 0)
    weights, bias = real(build, node, 3, axis=0), operand(node, 8)
    offset = None
    if bias is not None:
        scale = build.op("Mul", operand(node, 1), operand(node, 4))
        offset = build.op("Mul", build.op("Cast", bias, attributes={"to": int(ir.DataType.FLOAT)}), scale)
    operands = (channels_first(build, x) if last else x, weights, offset)
    result = build.op("Conv", *operands, attributes=own_attributes(node, "channels_last"))
    return build.done(_stored(build, node, channels_last(build, result) if last else result, 6))


def matmul(build: Builder, node: ir.Node) -> Replacement | str:
    """QLinearMatMul(a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero); scales of b per column."""
    return build.done(_stored(build, node, build.op("MatMul", real(build, node, 0), real(build, node, 3, axis=-1)), 6))


def gemm(build: Builder, node: ir.Node) -> Replacement | str:
    """QGemm(A, a_scale, a_zero, B, b_scale, b_zero, C, y_scale, y_zero); float without y_scale; C is int32 in the scale of the product."""
    transposed = node.attributes.get_int("transB", 0)
    operands = [real(build, node, 0), real(build, node, 3, axis=0 if transposed else 1)]
    alpha = node.attributes.get_float("alpha", 1.0)
    attributes = {"transA": node.attributes.get_int("transA", 0), "transB": transposed, "alpha": alpha}
    bias = operand(node, 6)
    if bias is not None:
        scale = build.op("Mul", build.op("Mul", operand(node, 1), operand(node, 4)), build.scalar(alpha))
        operands.append(build.op("Mul", build.op("Cast", bias, attributes={"to": int(ir.DataType.FLOAT)}), scale))
    value = build.op("Gemm", *operands, attributes=attributes)
    return build.done(value if operand(node, 7) is None else _stored(build, node, value, 7))


add, multiply = _binary("Add"), _binary("Mul")
sigmoid, leaky_relu = _unary("Sigmoid"), _unary("LeakyRelu")
average_pool, global_average_pool = _pool("AveragePool"), _pool("GlobalAveragePool")
