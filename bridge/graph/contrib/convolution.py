"""Convolution and pooling: with activations, channels-last, with paddings as an operand."""

import onnx_ir as ir

from bridge.graph.contrib.activations import activated
from bridge.graph.contrib.expansion import known, operand, own_attributes, total
from bridge.graph.lowering.replacement import Builder, Replacement

_TO_FIRST, _TO_LAST = {"perm": [0, 3, 1, 2]}, {"perm": [0, 2, 3, 1]}
_FUSED = ("activation", "activation_params")


def channels_first(build: Builder, value: ir.Value | None) -> ir.Value:
    """[N, H, W, C] -> [N, C, H, W]."""
    return build.op("Transpose", value, attributes=_TO_FIRST)


def channels_last(build: Builder, value: ir.Value) -> ir.Value:
    """[N, C, H, W] -> [N, H, W, C]."""
    return build.op("Transpose", value, attributes=_TO_LAST)


def fused_conv(build: Builder, node: ir.Node) -> Replacement | str:
    """FusedConv(X, W, B, Z): Conv, a sum with Z, an activation."""
    value = total(build, build.op("Conv", *node.inputs[:3], attributes=own_attributes(node, *_FUSED)), operand(node, 3))
    return _activated(build, node, value, last=False)


def nhwc_conv(build: Builder, node: ir.Node) -> Replacement | str:
    """NhwcConv and NhwcFusedConv: the same on [N, H, W, C], weights as in Conv."""
    x, z = channels_first(build, node.inputs[0]), operand(node, 3)
    value = build.op("Conv", x, *node.inputs[1:3], attributes=own_attributes(node, *_FUSED))
    return _activated(build, node, total(build, value, None if z is None else channels_first(build, z)), last=True)


def _activated(build: Builder, node: ir.Node, value: ir.Value, *, last: bool) -> Replacement | str:
    name = node.attributes.get_string("activation", "")
    found = activated(build, value, name, [float(value) for value in node.attributes.get_floats("activation_params", [])])
    if found is None:
        return f"its activation {name}"
    return build.done(channels_last(build, found) if last else found)


def nhwc_max_pool(build: Builder, node: ir.Node) -> Replacement | str:
    """NhwcMaxPool(x)."""
    return build.done(channels_last(build, build.op("MaxPool", channels_first(build, node.inputs[0]), attributes=own_attributes(node))))


def conv_transpose_with_pads(build: Builder, node: ir.Node) -> Replacement | str:
    """ConvTransposeWithDynamicPads(X, W, Pads, B)."""
    pads = known(operand(node, 2))
    if operand(node, 2) is not None and pads is None:
        return "its paddings are computed by the model"
    attributes = own_attributes(node) | ({} if pads is None else {"pads": [int(pad) for pad in pads]})
    return build.done(build.op("ConvTranspose", *node.inputs[:2], operand(node, 3), attributes=attributes))
