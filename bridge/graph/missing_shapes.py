"""Shapes of DFT and STFT, which onnx infers for hardly any form of them; nothing behind them would have a shape."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import onnx_ir as ir
import onnx_ir.passes.common as common

from bridge.graph.values import constant_array, static_shape


def infer_missing_shapes(model: ir.Model) -> None:
    """Gives every node of `_SHAPES` that has none a shape, and what comes behind its own."""
    while any([_infer(node) for node in model.graph if node.domain == "" and node.op_type in _SHAPES and static_shape(node.outputs[0]) is None]):
        common.ShapeInferencePass()(model)


def _infer(node: ir.Node) -> bool:
    shape = static_shape(node.inputs[0])
    found = None if shape is None else _SHAPES[node.op_type](node, shape)
    if found is None or found == static_shape(node.outputs[0]):
        return False
    node.outputs[0].shape = ir.Shape(found)
    node.outputs[0].type = node.outputs[0].type or (node.inputs[0].type if node.inputs[0] is not None else None)
    return True


def _number(node: ir.Node, position: int) -> int | None:
    array = constant_array(node.inputs[position]) if position < len(node.inputs) else None
    return None if array is None or array.size != 1 else int(array.reshape(-1)[0])


def _is_given(node: ir.Node, position: int) -> bool:
    return position < len(node.inputs) and node.inputs[position] is not None


def _dft(node: ir.Node, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Source: ONNX DFT-20."""
    length, axis = _number(node, 1), _number(node, 2)
    if (_is_given(node, 1) and length is None) or (_is_given(node, 2) and axis is None):
        return None
    along = (node.attributes.get_int("axis", -2) if axis is None else axis) % len(shape)
    inverse, onesided = (bool(node.attributes.get_int(name, 0)) for name in ("inverse", "onesided"))
    size = shape[along] if length is None else length
    if onesided:
        size = (2 * (shape[along] - 1) if length is None else length) if inverse else size // 2 + 1
    return (*shape[:along], size, *shape[along + 1 : -1], 1 if inverse and onesided else 2)


def _stft(node: ir.Node, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Source: ONNX STFT-17."""
    step, given = _number(node, 1), _number(node, 3)
    window = static_shape(node.inputs[2]) if _is_given(node, 2) else None
    length = given if given is not None else (window or (None,))[0]
    if step is None or length is None:
        return None
    bins = length // 2 + 1 if node.attributes.get_int("onesided", 1) else length
    return (shape[0], (shape[1] - length) // step + 1, bins, 2)


# Operator -> (node, shape of its first input) -> shape of its output.
_SHAPES: Mapping[str, Callable[[ir.Node, tuple[int, ...]], tuple[int, ...] | None]] = MappingProxyType({"DFT": _dft, "STFT": _stft})
