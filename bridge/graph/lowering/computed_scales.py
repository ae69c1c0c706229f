"""QuantizeLinear, DequantizeLinear and QLinearMatMul whose scales the model computes or takes as inputs -> the arithmetic they stand for.

onnx2tf 2.6.9 writes CUSTOM:ONNX_QUANTIZELINEAR and the like, which no runtime has: the scale of a TFLite tensor is part of the file. Constant
scales stay, they become such scales.
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import onnx_ir as ir

from bridge.graph.lowering.replacement import Builder, Replacement
from bridge.graph.values import constant_array, static_shape

_BOUNDS: Mapping[ir.DataType, tuple[int, int]] = MappingProxyType(
    {
        ir.DataType.INT8: (-128, 127),
        ir.DataType.UINT8: (0, 255),
        ir.DataType.INT16: (-32768, 32767),
        ir.DataType.UINT16: (0, 65535),
    }
)


def lower_quantize(graph: ir.Graph, node: ir.Node) -> Replacement | None:
    """Source: ONNX QuantizeLinear-21: saturate(round half to even(x / scale) + zero point)."""
    zero = node.inputs[2] if len(node.inputs) > 2 else None
    kind = node.outputs[0].dtype
    if constant_array(node.inputs[1]) is not None or kind not in _BOUNDS or kind is None:
        return None
    build = Builder(graph, str(node.name))
    operands = _operands(build, node, zero)
    return None if operands is None else build.done(_quantized(build, node.inputs[0], *operands, kind))


def lower_dequantize(graph: ir.Graph, node: ir.Node) -> Replacement | None:
    """Source: ONNX DequantizeLinear-21: (x - zero point) * scale."""
    zero = node.inputs[2] if len(node.inputs) > 2 else None
    if constant_array(node.inputs[1]) is not None:
        return None
    build = Builder(graph, str(node.name))
    operands = _operands(build, node, zero)
    return None if operands is None else build.done(_dequantized(build, node.inputs[0], *operands))


def lower_matmul(graph: ir.Graph, node: ir.Node) -> Replacement | None:
    """Source: ONNX QLinearMatMul-21; one scale per tensor."""
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = node.inputs
    kind = node.outputs[0].dtype
    scales = (a_scale, b_scale, y_scale)
    if (
        kind not in _BOUNDS
        or kind is None
        or any(_count(value) != 1 for value in scales)
        or all(constant_array(value) is not None for value in scales)
    ):
        return None
    build = Builder(graph, str(node.name))
    product = build.op("MatMul", _dequantized(build, a, a_scale, _float(build, a_zero)), _dequantized(build, b, b_scale, _float(build, b_zero)))
    return build.done(_quantized(build, product, y_scale, _float(build, y_zero), kind))


def _quantized(build: Builder, value: ir.Value | None, scale: ir.Value | None, zero: ir.Value | None, kind: ir.DataType) -> ir.Value:
    rounded = build.op("Round", build.op("Div", value, scale))
    moved = rounded if zero is None else build.op("Add", rounded, zero)
    least, most = _BOUNDS[kind]
    bounded = build.op("Min", build.op("Max", moved, build.scalar(least)), build.scalar(most))
    return build.op("Cast", bounded, attributes={"to": int(kind)})


def _dequantized(build: Builder, value: ir.Value | None, scale: ir.Value | None, zero: ir.Value | None) -> ir.Value:
    wide = build.op("Cast", value, attributes={"to": int(ir.DataType.FLOAT)})
    return build.op("Mul", wide if zero is None else build.op("Sub", wide, zero), scale)


def _float(build: Builder, value: ir.Value | None) -> ir.Value | None:
    return None if value is None else build.op("Cast", value, attributes={"to": int(ir.DataType.FLOAT)})


def _count(value: ir.Value | None) -> int:
    shape = static_shape(value)
    return -1 if shape is None else int(np.prod(shape, dtype=np.int64))


def _operands(build: Builder, node: ir.Node, zero: ir.Value | None) -> tuple[ir.Value, ir.Value | None] | None:
    """Scale and zero point, as floats that broadcast over the first input: one, one per slice of `axis`, or one per block."""
    shape, scales = static_shape(node.inputs[0]), static_shape(node.inputs[1])
    if shape is None or scales is None:
        return None
    axis, block = node.attributes.get_int("axis", 1), node.attributes.get_int("block_size", 0)
    found: list[ir.Value | None] = []
    for value in (_float(build, node.inputs[1]), _float(build, zero)):
        if value is not None and block:
            value = build.op("Gather", value, build.constant(np.arange(shape[axis]) // block), attributes={"axis": axis})
        elif value is not None and len(scales) == 1 and len(shape) > 1 and _count(node.inputs[1]) > 1:
            value = build.op("Reshape", value, build.integers([-1 if other == axis % len(shape) else 1 for other in range(len(shape))]))
        found.append(value)
    scale, offset = found
    return None if scale is None else (scale, offset)
