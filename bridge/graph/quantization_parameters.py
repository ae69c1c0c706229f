"""Scale, zero point and type of QuantizeLinear and DequantizeLinear, and their arithmetic.

Source: ONNX operators QuantizeLinear and DequantizeLinear, opset 10 to 23 (per tensor, per axis).
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import onnx_ir as ir

from bridge.graph.patterns.matching import tensor_of
from bridge.types import StoredAs

QUANTIZE = "QuantizeLinear"
DEQUANTIZE = "DequantizeLinear"
LIMITS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"INT4": (-8, 7), "INT8": (-128, 127), "UINT8": (0, 255), "INT16": (-32768, 32767), "UINT16": (0, 65535), "INT32": (-(2**31), 2**31 - 1)}
)
SIGNED: Mapping[str, tuple[str, int]] = MappingProxyType({"UINT8": ("INT8", 128), "UINT16": ("INT16", 32768)})


def constant(value: ir.Value | None) -> np.ndarray | None:
    """The contents of an initializer or a Constant node."""
    tensor = tensor_of(value)
    return None if tensor is None else tensor.numpy()


def is_operator(node: ir.Node | None, op_type: str) -> bool:
    """Whether it is that standard operator."""
    return node is not None and node.op_type == op_type and node.domain in ("", "ai.onnx")


def stored_as(node: ir.Node) -> StoredAs | None:
    """What a Q or DQ node names; None where that is not constant, of another type, or with scales per block."""
    scale, zero = constant(node.inputs[1]), node.inputs[2] if len(node.inputs) > 2 else None
    if scale is None or (zero is not None and constant(zero) is None) or node.attributes.get_int("block_size", 0) != 0:
        return None
    if zero is not None and zero.dtype is not None:
        type_name = zero.dtype.name
        points = np.asarray(constant(zero)).reshape(-1).astype(np.int64)
    else:
        source = node.inputs[0]
        type_name = source.dtype.name if is_operator(node, DEQUANTIZE) and source is not None and source.dtype is not None else "UINT8"
        points = np.zeros(scale.size, np.int64)
    if type_name not in LIMITS:
        return None
    scales = scale.reshape(-1).astype(np.float32)
    return StoredAs(type_name, tuple(map(float, scales)), tuple(map(int, np.broadcast_to(points, scales.shape))), node.attributes.get_int("axis", 1))


def signed(stored: StoredAs) -> StoredAs:
    """The same real values in the signed type that TFLite has: stored values and zero points move by half the range."""
    if stored.type not in SIGNED:
        return stored
    name, shift = SIGNED[stored.type]
    return StoredAs(name, stored.scales, tuple(point - shift for point in stored.zero_points), stored.axis)


def begins_at_zero(stored: StoredAs) -> bool:
    """Whether a tensor with one scale can hold nothing negative."""
    return stored.zero_points == (LIMITS[stored.type][0],)


def real(array: np.ndarray, stored: StoredAs) -> np.ndarray:
    """DequantizeLinear by its definition, in float32."""
    points, scales = _along(stored.zero_points, stored, array.ndim), _along(stored.scales, stored, array.ndim)
    result: np.ndarray = ((array.astype(np.int64) - points).astype(np.float32) * scales.astype(np.float32)).astype(np.float32)
    return result


def quantized(array: np.ndarray, stored: StoredAs) -> np.ndarray:
    """QuantizeLinear by its definition: round half to even, saturate."""
    points, scales = _along(stored.zero_points, stored, array.ndim), _along(stored.scales, stored, array.ndim)
    result: np.ndarray = np.clip(np.rint(array / scales.astype(np.float32)) + points, *LIMITS[stored.type]).astype(np.int64)
    return result


def _along(values: tuple[float, ...] | tuple[int, ...], stored: StoredAs, rank: int) -> np.ndarray:
    """One value, or one per channel in the shape that broadcasts along the channel axis."""
    array = np.asarray(values)
    if array.size == 1:
        return array.reshape(())
    axis = stored.axis % rank
    return array.reshape([-1 if place == axis else 1 for place in range(rank)])
