"""Fake quantization for torch's ONNX exporter, which has no translation of its own: QuantizeLinear and DequantizeLinear."""

from collections.abc import Callable
from typing import Any

import onnx_ir as ir
from onnxscript import opset20

op: Any = opset20  # its annotations are for ONNX tensors; what comes in here are the exporter's symbolic ones

# Integer range -> ONNX type and the range that QuantizeLinear saturates to by itself.
TYPES = {(0, 255): ir.DataType.UINT8, (-128, 127): ir.DataType.INT8, (0, 65535): ir.DataType.UINT16, (-32768, 32767): ir.DataType.INT16}


def translations(aten: Any) -> dict[Any, Callable[..., Any]]:
    """The exporter's `custom_translation_table`; `aten` is `torch.ops.aten`."""
    return {
        aten.fake_quantize_per_tensor_affine.default: _per_tensor,
        aten.fake_quantize_per_tensor_affine.tensor_qparams: _per_tensor_of_tensors,
        aten.fake_quantize_per_channel_affine.default: _per_channel,
    }


def _per_tensor(x: Any, scale: float, zero_point: int, quant_min: int, quant_max: int) -> Any:
    dtype, narrow = _storage(quant_min, quant_max)
    if narrow:
        x = op.Clip(x, _float((quant_min - zero_point) * scale), _float((quant_max - zero_point) * scale))
    point = op.Cast(op.Constant(value_int=zero_point), to=dtype)
    return op.DequantizeLinear(op.QuantizeLinear(x, _float(scale), point), _float(scale), point)


def _per_tensor_of_tensors(x: Any, scale: Any, zero_point: Any, quant_min: int, quant_max: int) -> Any:
    """Scale and zero point are tensors of one element: learned, or kept by an observer."""
    return _pair(x, op.Squeeze(scale), op.Squeeze(zero_point), quant_min, quant_max, axis=None)


def _per_channel(x: Any, scale: Any, zero_point: Any, axis: int, quant_min: int, quant_max: int) -> Any:
    return _pair(x, scale, zero_point, quant_min, quant_max, axis=axis)


def _pair(x: Any, scale: Any, zero_point: Any, quant_min: int, quant_max: int, *, axis: int | None) -> Any:
    dtype, narrow = _storage(quant_min, quant_max)
    if narrow:
        places, point = scale, op.Cast(zero_point, to=ir.DataType.FLOAT)
        low, high = (op.Mul(op.Sub(_float(bound), point), places) for bound in (quant_min, quant_max))
        x = op.Min(op.Max(x, _along(low, x, axis)), _along(high, x, axis))
    stored = op.Cast(zero_point, to=dtype)
    options = {} if axis is None else {"axis": axis}
    return op.DequantizeLinear(op.QuantizeLinear(x, scale, stored, **options), scale, stored, **options)


def _along(value: Any, x: Any, axis: int | None) -> Any:
    """One value per channel, in the shape that broadcasts along the channel axis."""
    if axis is None:
        return value
    rank = len(x.shape)
    return op.Reshape(value, op.Constant(value_ints=[-1 if place == axis % rank else 1 for place in range(rank)]))


def _storage(quant_min: int, quant_max: int) -> tuple[ir.DataType, bool]:
    """The smallest type that holds the range, and whether the range is a part of it."""
    for (low, high), dtype in sorted(TYPES.items(), key=lambda item: item[0][1] - item[0][0]):
        if low <= quant_min and quant_max <= high and (low < 0) == (quant_min < 0):
            return dtype, (low, high) != (quant_min, quant_max)
    raise ValueError(f"fake quantization to {quant_min} .. {quant_max} fits no integer type of ONNX")


def _float(value: float) -> Any:
    return op.Constant(value_float=value)
