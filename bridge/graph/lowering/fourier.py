"""DFT and STFT -> products with the constant matrices of cosines and sines.

onnx2tf 2.6.9 writes CUSTOM:ONNX_DFT and CUSTOM:ONNX_STFT, which no runtime has.
"""

import numpy as np
import onnx_ir as ir

from bridge.graph.lowering.replacement import Builder, Replacement
from bridge.graph.values import constant_array, static_shape

_MAX_ELEMENTS = 1 << 24  # of one matrix


def lower_dft(graph: ir.Graph, node: ir.Node) -> Replacement | None:
    """Source: ONNX DFT-20; input [..., 1 or 2], the last axis being real and imaginary part."""
    shape, written, axis = static_shape(node.inputs[0]), static_shape(node.outputs[0]), _axis(node)
    if shape is None or written is None or axis is None:
        return None
    inverse, onesided = (bool(node.attributes.get_int(name, 0)) for name in ("inverse", "onesided"))
    out = written[axis]
    length = _length(node, shape[axis], out, inverse=inverse, onesided=onesided)
    if length is None or length * out > _MAX_ELEMENTS:
        return None
    build = Builder(graph, str(node.name))
    real, imaginary = _parts(build, node.inputs[0], shape, axis)
    used = min(shape[axis], length // 2 + 1 if inverse and onesided else length)
    angles = 2 * np.pi * (np.outer(np.arange(used), np.arange(out)) % length) / length * (1 if inverse else -1)
    weights = np.full((used, 1), 1 / length if inverse else 1.0)
    if inverse and onesided:  # every bin but the first, and the middle one of an even length, stands for its mirror image too
        weights[1 : (length + 1) // 2] *= 2
    cosines, sines = weights * np.cos(angles), weights * np.sin(angles)
    real_part = _product(build, real, cosines, used)
    imaginary_part = _product(build, real, sines, used)
    if imaginary is not None:
        real_part = build.op("Sub", real_part, _product(build, imaginary, sines, used))
        imaginary_part = build.op("Add", imaginary_part, _product(build, imaginary, cosines, used))
    parts = [real_part] if written[-1] == 1 else [real_part, imaginary_part]
    return build.done(_joined(build, parts, len(shape), axis))


def _axis(node: ir.Node) -> int | None:
    """Counted from the start; the attribute of opset 17 counts over all axes too."""
    shape = static_shape(node.inputs[0]) or ()
    given = node.inputs[2] if len(node.inputs) > 2 else None
    array = constant_array(given)
    if given is not None and array is None:
        return None
    axis = int(array.reshape(-1)[0]) if array is not None else node.attributes.get_int("axis", 1 if "axis" in node.attributes else -2)
    return axis % len(shape) if shape else None


def _length(node: ir.Node, size: int, out: int, *, inverse: bool, onesided: bool) -> int | None:
    given = node.inputs[1] if len(node.inputs) > 1 else None
    array = constant_array(given)
    if given is not None and array is None:
        return None
    if array is not None:
        return int(array.reshape(-1)[0])
    return out if inverse and onesided else size


def _parts(build: Builder, value: ir.Value | None, shape: tuple[int, ...], axis: int) -> tuple[ir.Value, ir.Value | None]:
    """Real and imaginary part, the transformed axis last and the axis of the parts gone."""
    rank = len(shape)
    order = [*(other for other in range(rank - 1) if other != axis), axis]
    found = []
    for part in range(shape[-1]):
        index = build.constant(np.array(part, np.int64))
        picked = build.op("Gather", value, index, attributes={"axis": rank - 1})
        found.append(picked if order == list(range(rank - 1)) else build.op("Transpose", picked, attributes={"perm": order}))
    return found[0], found[1] if len(found) > 1 else None


def _product(build: Builder, value: ir.Value, matrix: np.ndarray, used: int) -> ir.Value:
    """`value` [..., size] times the matrix [used, out]; what lies behind `used` is cut off."""
    cut = build.op("Slice", value, build.integers([0]), build.integers([used]), build.integers([-1]))
    return build.op("MatMul", cut, build.constant(matrix.astype(np.float32)))


def _joined(build: Builder, parts: list[ir.Value], rank: int, axis: int) -> ir.Value:
    last = build.integers([rank - 1])
    stacked = [build.op("Unsqueeze", part, last) for part in parts]
    joined = stacked[0] if len(stacked) == 1 else build.op("Concat", *stacked, attributes={"axis": rank - 1})
    order = [*(other for other in range(rank - 1) if other != axis), axis, rank - 1]
    if order == list(range(rank)):
        return joined
    return build.op("Transpose", joined, attributes={"perm": [order.index(other) for other in range(rank)]})


def lower_stft(graph: ir.Graph, node: ir.Node) -> Replacement | None:
    """Source: ONNX STFT-17; signal [B, length, 1 or 2], result [B, frames, bins, 2]."""
    shape, step = static_shape(node.inputs[0]), constant_array(node.inputs[1])
    window = node.inputs[2] if len(node.inputs) > 2 else None
    given = constant_array(node.inputs[3]) if len(node.inputs) > 3 else None
    size = static_shape(window) if window is not None else None
    if shape is None or step is None or (given is None and size is None):
        return None
    length = int(given.reshape(-1)[0]) if given is not None else (size or (0,))[0]
    bins = length // 2 + 1 if node.attributes.get_int("onesided", 1) else length
    build = Builder(graph, str(node.name))
    starts = np.arange(0, shape[1] - length + 1, int(step.reshape(-1)[0]))  # onnx infers one frame too many
    indices = build.constant(starts[:, None] + np.arange(length)[None])
    angles = -2 * np.pi * (np.outer(np.arange(length), np.arange(bins)) % length) / length
    results: list[ir.Value] = []
    for part in range(shape[-1] if len(shape) == 3 else 1):
        plane = (
            node.inputs[0]
            if len(shape) == 2
            else build.op("Gather", node.inputs[0], build.constant(np.array(part, np.int64)), attributes={"axis": 2})
        )
        frames = build.op("Gather", plane, indices, attributes={"axis": 1})
        weighted = frames if window is None else build.op("Mul", frames, window)
        cosine, sine = (build.op("MatMul", weighted, build.constant(matrix.astype(np.float32))) for matrix in (np.cos(angles), np.sin(angles)))
        results = [cosine, sine] if part == 0 else [build.op("Sub", results[0], sine), build.op("Add", results[1], cosine)]
    last = build.integers([3])
    return build.done(build.op("Concat", *(build.op("Unsqueeze", result, last) for result in results), attributes={"axis": 3}))
