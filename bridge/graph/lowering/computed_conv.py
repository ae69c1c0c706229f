"""Conv and ConvTranspose whose weights the model computes, or takes as an input -> the patches of the input as a matrix, times the weights.

onnx2tf 2.6.9 writes CUSTOM:ONNX_CONV and CUSTOM:ONNX_CONVTRANSPOSE, which no runtime has.
"""

import math
from collections.abc import Sequence

import onnx_ir as ir

from bridge.graph.lowering.replacement import Builder, Replacement
from bridge.graph.lowering.taps import MAX_TAPS, Window
from bridge.graph.values import constant_array, static_shape


def lower_conv(graph: ir.Graph, node: ir.Node) -> Replacement | None:
    """Source: ONNX Conv-11; X [N, C, *sizes], W [M, C / group, *kernel]."""
    weight = static_shape(node.inputs[1])
    window = None if weight is None or constant_array(node.inputs[1]) is not None else Window.of(node, weight[2:])
    if window is None or weight is None:
        return None
    build = Builder(graph, str(node.name))
    flat = build.op("Reshape", node.inputs[1], build.integers([weight[0], weight[1], math.prod(weight[2:])]))
    return build.done(_convolved(build, node, node.inputs[0], flat, window))


def lower_conv_transpose(graph: ir.Graph, node: ir.Node) -> Replacement | None:
    """Zeros between the elements of X, then a Conv with the flipped weights.

    Source: ONNX ConvTranspose-11; X [N, C, *sizes], W [C, M / group, *kernel].
    """
    weight, shape, written = static_shape(node.inputs[1]), static_shape(node.inputs[0]), static_shape(node.outputs[0])
    if constant_array(node.inputs[1]) is not None or weight is None or shape is None or written is None or math.prod(weight[2:]) > MAX_TAPS:
        return None
    rank, group = len(shape) - 2, node.attributes.get_int("group", 1)
    strides, dilations = (node.attributes.get_ints(name, [1] * rank) for name in ("strides", "dilations"))
    spread = [(size - 1) * stride + 1 for size, stride in zip(shape[2:], strides, strict=True)]
    reach = [(taps - 1) * dilation for taps, dilation in zip(weight[2:], dilations, strict=True)]
    begins = [before - cut for before, cut in zip(reach, _cut(node, spread, reach, written[2:]), strict=True)]
    build = Builder(graph, str(node.name))
    value = node.inputs[0]
    for axis, (size, stride) in enumerate(zip(shape[2:], strides, strict=True)):
        if stride > 1 and size > 1:
            value = _spread(build, value, [*shape[:2], *spread[:axis], *shape[axis + 2 :]], axis + 2, stride)
    value, begins, spread = _trimmed(build, value, begins, spread)
    taps, channels = math.prod(weight[2:]), weight[1] * group
    grouped = build.op("Reshape", node.inputs[1], build.integers([group, weight[0] // group, weight[1], taps]))
    flipped = build.op("Gather", grouped, build.integers(range(taps - 1, -1, -1)), attributes={"axis": 3})
    turned = build.op("Transpose", flipped, attributes={"perm": [0, 2, 1, 3]})
    flat = build.op("Reshape", turned, build.integers([channels, weight[0] // group, taps]))
    window = Window(tuple(spread), weight[2:], (1,) * rank, tuple(dilations), tuple(begins), written[2:])
    return build.done(_convolved(build, node, value, flat, window))


def _cut(node: ir.Node, spread: Sequence[int], reach: Sequence[int], out: Sequence[int]) -> list[int]:
    """Elements cut off before each axis of the full result."""
    rank = len(spread)
    auto = node.attributes.get_string("auto_pad", "NOTSET")
    extra = node.attributes.get_ints("output_padding", [0] * rank)
    if auto == "NOTSET" and "output_shape" not in node.attributes:
        return list(node.attributes.get_ints("pads", [0] * 2 * rank))[:rank]
    totals = [length + back + more - size for length, back, more, size in zip(spread, reach, extra, out, strict=True)]
    return [total // 2 if auto == "SAME_UPPER" else total - total // 2 for total in totals]


def _spread(build: Builder, value: ir.Value | None, shape: Sequence[int], axis: int, stride: int) -> ir.Value:
    """`stride - 1` zeros behind every element of an axis but the last."""
    rank = len(shape)
    split = build.op("Reshape", value, build.integers([*shape[: axis + 1], 1, *shape[axis + 1 :]]))
    pads = [0] * (2 * rank + 2)
    pads[rank + 1 + axis + 1] = stride - 1
    padded = build.op("Pad", split, build.integers(pads))
    joined = build.op("Reshape", padded, build.integers([*shape[:axis], shape[axis] * stride, *shape[axis + 1 :]]))
    return build.op("Slice", joined, build.integers([0]), build.integers([(shape[axis] - 1) * stride + 1]), build.integers([axis]))


def _trimmed(build: Builder, value: ir.Value | None, begins: Sequence[int], sizes: Sequence[int]) -> tuple[ir.Value | None, list[int], list[int]]:
    """Cuts instead of padding by a negative number."""
    if all(begin >= 0 for begin in begins):
        return value, list(begins), list(sizes)
    starts = [max(0, -begin) for begin in begins]
    axes = build.integers(range(2, len(begins) + 2))
    value = build.op("Slice", value, build.integers(starts), build.integers([2**31 - 1] * len(begins)), axes)
    return value, [max(0, begin) for begin in begins], [size - start for size, start in zip(sizes, starts, strict=True)]


def _convolved(build: Builder, node: ir.Node, value: ir.Value | None, weight: ir.Value, window: Window) -> ir.Value:
    """[N, M, *out]; `weight` is [M, C / group, taps]."""
    shape, written = static_shape(node.inputs[0]), static_shape(node.outputs[0])
    assert shape is not None  # the callers looked
    assert written is not None
    group, batch, channels = node.attributes.get_int("group", 1), written[0], shape[1]
    columns, taps = math.prod(window.out), len(window.taps)
    views = [build.op("Reshape", view, build.integers([batch, channels, 1, columns])) for view in window.views(build, value, fill=0.0)]
    patches = views[0] if taps == 1 else build.op("Concat", *views, attributes={"axis": 2})
    matrix = build.op("Reshape", patches, build.integers([batch, group, channels // group * taps, columns]))
    rows = build.op("Reshape", weight, build.integers([1, group, written[1] // group, channels // group * taps]))
    product = build.op("Reshape", build.op("MatMul", rows, matrix), build.integers(written))
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is None:
        return product
    return build.op("Add", product, build.op("Reshape", bias, build.integers([1, written[1], *[1] * len(window.out)])))
