"""LayerNorm, RMSNorm and GroupNorm fused with what stands before and behind them."""

import numpy as np
import onnx_ir as ir

from bridge.graph.contrib.activations import silu
from bridge.graph.contrib.expansion import TRAINING_OUTPUT, UNKNOWN_SHAPE, is_read, operand, scalar_like, total
from bridge.graph.lowering.replacement import Builder, Replacement
from bridge.graph.values import static_shape

_CHANNELS_FIRST, _CHANNELS_LAST = [0, 3, 1, 2], [0, 2, 3, 1]


def skip_layer_norm(build: Builder, node: ir.Node) -> Replacement | str:
    """SkipLayerNormalization(input, skip, gamma, beta, bias): LayerNormalization of their sum, which is the fourth output."""
    if is_read(node, 1) or is_read(node, 2):
        return TRAINING_OUTPUT
    summed = total(build, node.inputs[0], node.inputs[1], operand(node, 4))
    attributes = {"axis": -1, "epsilon": node.attributes.get_float("epsilon", 1e-12)}
    return build.done(build.op("LayerNormalization", summed, node.inputs[2], operand(node, 3), attributes=attributes), None, None, summed)


def skip_rms_norm(build: Builder, node: ir.Node) -> Replacement | str:
    """SkipSimplifiedLayerNormalization(input, skip, gamma, bias)."""
    if is_read(node, 1) or is_read(node, 2):
        return TRAINING_OUTPUT
    summed = total(build, node.inputs[0], node.inputs[1], operand(node, 3))
    return build.done(_rms(build, summed, node.inputs[2], node.attributes.get_float("epsilon", 1e-12)), None, None, summed)


def rms_norm(build: Builder, node: ir.Node) -> Replacement | str:
    """SimplifiedLayerNormalization(X, scale) over the last axis."""
    if node.attributes.get_int("axis", -1) != -1:
        return "it normalises more than the last axis"
    if is_read(node, 1):
        return TRAINING_OUTPUT
    return build.done(_rms(build, node.inputs[0], node.inputs[1], node.attributes.get_float("epsilon", 1e-5)))


def gated_rms_norm(build: Builder, node: ir.Node) -> Replacement | str:
    """GatedRMSNorm(X, scale, gate): normalised over groups as long as the scale, times the activation of the gate."""
    x, scale, gate = (total(build, value) for value in node.inputs)
    shape, width = static_shape(x), static_shape(scale)
    if shape is None or width is None:
        return UNKNOWN_SHAPE
    activation = node.attributes.get_string("activation", "silu")
    grouped = build.op("Reshape", x, build.integers([*shape[:-1], -1, *width]))
    normal = build.op("Reshape", _rms(build, grouped, scale, node.attributes.get_float("epsilon", 1e-5)), build.integers(shape))
    return build.done(build.op("Mul", normal, build.op("Sigmoid", gate) if activation == "sigmoid" else silu(build, gate)))


def _rms(build: Builder, x: ir.Value | None, gamma: ir.Value | None, epsilon: float) -> ir.Value:
    mean = build.op("ReduceMean", build.op("Mul", x, x), build.integers([-1]), attributes={"keepdims": 1})
    root = build.op("Sqrt", build.op("Add", mean, scalar_like(build, epsilon, x)))
    return build.op("Mul", build.op("Div", x, root), gamma)


def group_norm(build: Builder, node: ir.Node) -> Replacement | str:
    """GroupNorm(X, gamma, beta)."""
    return _group_norm(build, node, build.op("Identity", node.inputs[0]))


def skip_group_norm(build: Builder, node: ir.Node) -> Replacement | str:
    """SkipGroupNorm(X, gamma, beta, skip, bias): GroupNorm of X + skip + bias, which is the second output."""
    x, skip = node.inputs[0], total(build, node.inputs[3])
    if static_shape(skip) is None:
        return UNKNOWN_SHAPE
    channels_last = node.attributes.get_int("channels_last", 1) == 1
    bias = operand(node, 4)
    if not channels_last:
        bias = None if bias is None else build.op("Unsqueeze", bias, build.integers([1, 2]))
    if len(skip.shape or ()) == 2:
        skip = build.op("Unsqueeze", skip, build.integers([1, 2] if channels_last else [2, 3]))
    return _group_norm(build, node, total(build, x, skip, bias))


def _group_norm(build: Builder, node: ir.Node, x: ir.Value) -> Replacement | str:
    """As torch's exporter spells it: InstanceNormalization over groups, then gamma and beta per channel."""
    channels_last = node.attributes.get_int("channels_last", 1) == 1
    groups, epsilon = node.attributes.get_int("groups", 0), node.attributes.get_float("epsilon", 1e-5)
    first = build.op("Transpose", x, attributes={"perm": _CHANNELS_FIRST}) if channels_last else x
    grouped = build.op("Reshape", first, build.integers([0, groups, -1]))
    ones, zeros = build.constant(np.ones(groups, np.float32)), build.constant(np.zeros(groups, np.float32))
    normal = build.op("InstanceNormalization", grouped, ones, zeros, attributes={"epsilon": epsilon})
    value = build.op("Reshape", normal, build.op("Shape", first))
    gamma, beta = (build.op("Unsqueeze", parameter, build.integers([1, 2])) for parameter in node.inputs[1:3])
    value = build.op("Add", build.op("Mul", value, gamma), beta)
    value = silu(build, value) if node.attributes.get_int("activation", 0) else value
    value = build.op("Transpose", value, attributes={"perm": _CHANNELS_LAST}) if channels_last else value
    return build.done(value, x)
