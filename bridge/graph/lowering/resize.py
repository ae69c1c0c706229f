"""Resize that TFLite's two resize operators do not express -> Gather (nearest) or MatMul by interpolation matrices (linear, cubic).

onnx2tf 2.6.9 maps every nearest and linear Resize to RESIZE_NEAREST_NEIGHBOR and RESIZE_BILINEAR by the name of its coordinate mode: a Resize to
7 x 9 has other rounding there (4.5 dB), scales of 1.3 other coordinates (7.3 dB); cubic with antialias or exclude_outside comes out at 13 to 24 dB;
nearest with align_corners becomes CUSTOM:ONNX_RESIZE, which no runtime has.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import onnx_ir as ir

from bridge.graph.lowering.replacement import Builder, Replacement
from bridge.graph.values import constant_array, static_shape
from bridge.limits import MAX_MATRIX

_SPATIAL_RANKS = (3, 4)  # what TFLite resizes: the axes behind batch and channels
_SAME = 1e-5  # weights are float32


def lower(graph: ir.Graph, node: ir.Node) -> Replacement | None:
    """Source: ONNX Resize-19; the matrices follow its section on coordinate transformation, TFLite's kernels are resize_nearest_neighbor.h and resize_bilinear.h."""
    shape, out_shape = static_shape(node.inputs[0]), static_shape(node.outputs[0])
    mode = node.attributes.get_string("mode", "nearest")
    coordinates = node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
    if shape is None or out_shape is None or coordinates not in _COORDINATES or node.inputs[0] is None:
        return None
    scales = _scales(node, shape, out_shape)
    if any(size * out > MAX_MATRIX for size, out in zip(shape, out_shape, strict=True)):
        return None
    matrices = {
        axis: _matrix(node, shape[axis], out_shape[axis], scales[axis]) for axis in range(len(shape)) if _resized(shape, out_shape, scales, axis)
    }
    build = Builder(graph, str(node.name))
    if _tflite_does_it(mode, coordinates, shape, out_shape, matrices):
        return _canonical(build, node, out_shape)
    value = node.inputs[0]
    for axis, matrix in matrices.items():
        value = _gathered(build, value, matrix, axis) if mode == "nearest" else _multiplied(build, value, matrix, axis, len(shape))
    return build.done(value)


def _canonical(build: Builder, node: ir.Node, out_shape: tuple[int, ...]) -> Replacement | None:
    """The same Resize by the sizes of all axes: onnx2tf takes those of chosen axes, and of a kept aspect ratio, for height and width as they stand."""
    if not {"axes", "keep_aspect_ratio_policy"} & set(node.attributes):
        return None
    kept = {name: node.attributes.get_string(name) for name in ("mode", "coordinate_transformation_mode", "nearest_mode")}
    attributes = {name: value for name, value in kept.items() if value is not None}
    return build.done(build.op("Resize", node.inputs[0], None, None, build.integers(out_shape), attributes=attributes))


def _resized(shape: tuple[int, ...], out_shape: tuple[int, ...], scales: tuple[float, ...], axis: int) -> bool:
    return shape[axis] != out_shape[axis] or scales[axis] != 1.0


def _scales(node: ir.Node, shape: tuple[int, ...], out_shape: tuple[int, ...]) -> tuple[float, ...]:
    """The scale of every axis: the given one, else out / in (one for all resized axes where the aspect ratio is kept)."""
    axes = node.attributes.get_ints("axes", list(range(len(shape))))
    given = constant_array(node.inputs[2]) if len(node.inputs) > 2 else None
    scales = [out / size for size, out in zip(shape, out_shape, strict=True)]
    policy = node.attributes.get_string("keep_aspect_ratio_policy", "stretch")
    sizes = constant_array(node.inputs[3]) if len(node.inputs) > 3 else None
    for position, axis in enumerate(axes):
        if given is not None and given.size:
            scales[axis] = float(given[position])
        elif sizes is not None and policy != "stretch":
            ratios = [float(size) / shape[other] for size, other in zip(sizes, axes, strict=True)]
            scales[axis] = min(ratios) if policy == "not_larger" else max(ratios)
    return tuple(scales)


def _matrix(node: ir.Node, size: int, out: int, scale: float) -> np.ndarray:
    """[out, in] float64: how much every input position adds to every output position."""
    where = _COORDINATES[node.attributes.get_string("coordinate_transformation_mode", "half_pixel")](np.arange(out), size, out, scale)
    mode = node.attributes.get_string("mode", "nearest")
    if mode == "nearest":
        return _one_hot(_ROUNDINGS[node.attributes.get_string("nearest_mode", "round_prefer_floor")](where), size)
    stretch = min(1.0, scale) if node.attributes.get_int("antialias", 0) else 1.0
    if mode == "linear":
        return _interpolation(where, size, stretch, 1.0, lambda x: np.maximum(0.0, 1 - np.abs(x)), drop_outside=False)
    slope = node.attributes.get_float("cubic_coeff_a", -0.75)
    outside = bool(node.attributes.get_int("exclude_outside", 0))
    return _interpolation(where, size, stretch, 2.0, lambda x: _cubic(np.abs(x), slope), drop_outside=outside)


def _one_hot(positions: np.ndarray, size: int) -> np.ndarray:
    matrix = np.zeros((positions.size, size))
    matrix[np.arange(positions.size), np.clip(positions, 0, size - 1).astype(np.int64)] = 1.0
    return matrix


def _interpolation(
    where: np.ndarray, size: int, stretch: float, support: float, kernel: Callable[[np.ndarray], np.ndarray], *, drop_outside: bool
) -> np.ndarray:
    """Weights of `kernel`, widened by 1 / stretch, around each position; what falls outside counts for the border, or not at all."""
    reach = int(np.ceil(support / stretch))
    matrix = np.zeros((where.size, size))
    for row, position in enumerate(where):
        taps = np.arange(int(np.floor(position)) - reach, int(np.floor(position)) + reach + 2)
        weights = kernel((taps - position) * stretch)
        if drop_outside:
            weights = np.where((taps >= 0) & (taps < size), weights, 0.0)
        np.add.at(matrix[row], np.clip(taps, 0, size - 1), weights / weights.sum())
    return matrix


def _cubic(x: np.ndarray, a: float) -> np.ndarray:
    """Source: R. Keys, Cubic Convolution Interpolation for Digital Image Processing, equation 15, with free a."""
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def _tflite_does_it(mode: str, coordinates: str, shape: tuple[int, ...], out_shape: tuple[int, ...], matrices: Mapping[int, np.ndarray]) -> bool:
    """Whether what onnx2tf writes computes the same matrices."""
    if (
        len(shape) not in _SPATIAL_RANKS
        or any(axis < 2 for axis in matrices)
        or (mode == "nearest" and coordinates not in ("asymmetric", "half_pixel"))
    ):
        return False
    if mode == "cubic":
        expected = {axis: _plain_cubic(coordinates, shape[axis], out_shape[axis]) for axis in matrices}
    else:
        table = _TFLITE_NEAREST if mode == "nearest" else _TFLITE_LINEAR
        kind = "half_pixel" if coordinates in ("half_pixel", "pytorch_half_pixel") else coordinates
        expected = {axis: table[kind](shape[axis], out_shape[axis]) for axis in matrices if kind in table}
    return expected.keys() == matrices.keys() and all(np.abs(expected[axis] - matrices[axis]).max() <= _SAME for axis in matrices)


def _plain_cubic(coordinates: str, size: int, out: int) -> np.ndarray:
    where = _COORDINATES[coordinates](np.arange(out), size, out, out / size)
    return _interpolation(where, size, 1.0, 2.0, lambda x: _cubic(np.abs(x), -0.75), drop_outside=False)


def _gathered(build: Builder, value: ir.Value, matrix: np.ndarray, axis: int) -> ir.Value:
    return build.op("Gather", value, build.constant(matrix.argmax(axis=1)), attributes={"axis": axis})


def _multiplied(build: Builder, value: ir.Value, matrix: np.ndarray, axis: int, rank: int) -> ir.Value:
    """The matrix along one axis, as a product from the right so that it becomes a weight."""
    order = [*(other for other in range(rank) if other != axis), axis]
    moved = value if axis == rank - 1 else build.op("Transpose", value, attributes={"perm": order})
    product = build.op("MatMul", moved, build.constant(matrix.T.astype(np.float32)))
    return product if axis == rank - 1 else build.op("Transpose", product, attributes={"perm": [order.index(other) for other in range(rank)]})


def _half_pixel(x: np.ndarray, size: int, out: int, scale: float) -> np.ndarray:
    return (x + 0.5) / scale - 0.5


def _half_pixel_symmetric(x: np.ndarray, size: int, out: int, scale: float) -> np.ndarray:
    adjustment = out / (scale * size)
    return size / 2 * (1 - adjustment) + (x + 0.5) / scale - 0.5


def _pytorch_half_pixel(x: np.ndarray, size: int, out: int, scale: float) -> np.ndarray:
    return (x + 0.5) / scale - 0.5 if out > 1 else np.zeros(x.shape)


def _align_corners(x: np.ndarray, size: int, out: int, scale: float) -> np.ndarray:
    return x * (size - 1) / (out - 1) if out > 1 else np.zeros(x.shape)


def _asymmetric(x: np.ndarray, size: int, out: int, scale: float) -> np.ndarray:
    return x / scale


# (output positions [out], input size, output size, scale) -> input coordinates [out]
_COORDINATES: Mapping[str, Callable[[np.ndarray, int, int, float], np.ndarray]] = MappingProxyType(
    {
        "half_pixel": _half_pixel,
        "half_pixel_symmetric": _half_pixel_symmetric,
        "pytorch_half_pixel": _pytorch_half_pixel,
        "align_corners": _align_corners,
        "asymmetric": _asymmetric,
    }
)
_ROUNDINGS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = MappingProxyType(
    {
        "round_prefer_floor": lambda x: np.ceil(x - 0.5),
        "round_prefer_ceil": lambda x: np.floor(x + 0.5),
        "floor": np.floor,
        "ceil": np.ceil,
    }
)
# (input size, output size) -> [out, in], by the coordinate mode that onnx2tf turns into the kernel's flags
_TFLITE_NEAREST: Mapping[str, Callable[[int, int], np.ndarray]] = MappingProxyType(
    {
        "half_pixel": lambda size, out: _one_hot(np.floor((np.arange(out) + 0.5) * size / out), size),
        "asymmetric": lambda size, out: _one_hot(np.floor(np.arange(out) * size / out), size),
    }
)
_TFLITE_LINEAR: Mapping[str, Callable[[int, int], np.ndarray]] = MappingProxyType(
    {
        "half_pixel": lambda size, out: _hat(_half_pixel(np.arange(out), size, out, out / size), size),
        "align_corners": lambda size, out: _hat(_align_corners(np.arange(out), size, out, 1.0), size),
        "asymmetric": lambda size, out: _hat(np.arange(out) * size / out, size),
    }
)


def _hat(where: np.ndarray, size: int) -> np.ndarray:
    return _interpolation(where, size, 1.0, 1.0, lambda x: np.maximum(0.0, 1 - np.abs(x)), drop_outside=False)
