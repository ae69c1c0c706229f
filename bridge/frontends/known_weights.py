"""Weights that a live model knows to be rounded: stored as integers with their scales where the exporter wrote the rounded floats."""

from collections.abc import Sequence

import numpy as np
import onnx
from msgspec import Struct
from onnx import helper, numpy_helper

OFF_GRID = 1e-3  # of a step: what float32 makes of multiples of it


class KnownWeight(Struct, frozen=True, eq=False):
    """One weight.

    Attributes:
        values: [other axes, output channels] float32, multiples of the scales up to 127.
        scales: [output channels] float32.
    """

    values: np.ndarray
    scales: np.ndarray


def store_known_weights(proto: onnx.ModelProto, known: Sequence[KnownWeight]) -> int:
    """Writes each float initializer that holds such values, in whatever order of axes, as int8 and DequantizeLinear; changes `proto` in place.

    Returns:
        How many there were.
    """
    found = 0
    for tensor in list(proto.graph.initializer):
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) > 1:
            array = numpy_helper.to_array(tensor)
            match = next(((one, axis) for one in known for axis in range(array.ndim) if _holds(array, axis, one)), None)
            if match is not None:
                _store(proto.graph, tensor, array, *match)
                found += 1
    return found


def _holds(array: np.ndarray, axis: int, weight: KnownWeight) -> bool:
    if array.size != weight.values.size or array.shape[axis] != weight.scales.size:
        return False
    rows = np.moveaxis(array, axis, -1).reshape(weight.values.shape)
    return bool(np.all(np.abs(np.sort(rows, axis=0) - np.sort(weight.values, axis=0)) <= OFF_GRID * weight.scales))


def _store(graph: onnx.GraphProto, tensor: onnx.TensorProto, array: np.ndarray, weight: KnownWeight, axis: int) -> None:
    shape = [-1 if place == axis else 1 for place in range(array.ndim)]
    integers = np.rint(array / weight.scales.reshape(shape)).astype(np.int8)
    name = tensor.name
    names = [f"{name}/stored", f"{name}/scale", f"{name}/zero_point"]
    values = [integers, weight.scales, np.zeros(weight.scales.size, np.int8)]
    graph.initializer.remove(tensor)
    graph.initializer.extend(numpy_helper.from_array(value, one) for one, value in zip(names, values, strict=True))
    graph.node.insert(0, helper.make_node("DequantizeLinear", names, [name], f"{name}/DequantizeLinear", axis=axis))
