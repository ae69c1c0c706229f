"""Operators that select, move or pad, and those that the standard took over later under the same name."""

import numpy as np
import onnx_ir as ir

from bridge.graph.contrib.expansion import known, operand, own_attributes, total
from bridge.graph.lowering.replacement import Builder, Replacement
from bridge.limits import MAX_MATRIX

_GRID_MODES = {"bilinear": "linear", "bicubic": "cubic"}  # renamed with opset 20


def standard(build: Builder, node: ir.Node) -> Replacement | str:
    """The standard operator of the same name with the same operands."""
    return build.done(build.op(node.op_type, *node.inputs, attributes=own_attributes(node)))


def identity(build: Builder, node: ir.Node) -> Replacement | str:
    """The first operand."""
    return build.done(total(build, node.inputs[0]))


def expand_dims(build: Builder, node: ir.Node) -> Replacement | str:
    """ExpandDims(X, axis)."""
    axis = known(operand(node, 1))
    if axis is None:
        return "its axis, which is no constant"
    return build.done(build.op("Unsqueeze", node.inputs[0], build.integers([int(axis.reshape(()))])))


def gather_nd(build: Builder, node: ir.Node) -> Replacement | str:
    """GatherND(data, indices), whose indices may be int32."""
    indices = build.op("Cast", node.inputs[1], attributes={"to": int(ir.DataType.INT64)})
    return build.done(build.op("GatherND", node.inputs[0], indices))


def pad(build: Builder, node: ir.Node) -> Replacement | str:
    """Pad(data, pads, value), whose pads and value may have one axis more."""
    pads = known(operand(node, 1))
    if pads is None:
        return "its paddings are computed by the model"
    value = operand(node, 2)
    filler = None if value is None else build.op("Reshape", value, build.integers([]))
    attributes = {"mode": node.attributes.get_string("mode", "constant")}
    return build.done(build.op("Pad", node.inputs[0], build.integers([int(size) for size in pads.reshape(-1)]), filler, attributes=attributes))


def arange(build: Builder, node: ir.Node) -> Replacement | str:
    """Range(start, limit, delta) of scalars or vectors of one."""
    bounds = [known(value) for value in node.inputs if value is not None]
    if any(bound is None for bound in bounds):
        return "its bounds, which are no constants"
    start, limit, *step = [bound.reshape(()) for bound in bounds if bound is not None]
    delta = step[0].item() if step else 1
    if not delta or not abs((limit.item() - start.item()) / delta) <= MAX_MATRIX:
        return "its length"
    values = np.arange(start.item(), limit.item(), delta).astype(start.dtype)
    return build.done(build.op("Identity", build.constant(values)))


def grid_sample(build: Builder, node: ir.Node) -> Replacement | str:
    """GridSample(X, Grid)."""
    mode = node.attributes.get_string("mode", "bilinear")
    attributes = own_attributes(node) | {"mode": _GRID_MODES.get(str(mode), str(mode))}
    return build.done(build.op("GridSample", *node.inputs, attributes=attributes))
