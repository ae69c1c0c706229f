"""BatchNormalization with constant statistics: folded into the Conv or Gemm before it, else a 1x1 depthwise Conv.

`y = x * k + b` per channel with `k = scale / sqrt(var + epsilon)`, `b = bias - mean * k` (ONNX BatchNormalization, opset 15). onnx2tf writes what
it cannot fold as MUL and ADD. In int8 the product between them needs a scale of its own: a channel without variance gave it the range
-1623 .. 4 for a sum of -4 .. 4 and left 1 dB of an ESPNetV2 whose other layers were all float. A depthwise convolution has no such product.
"""

import numpy as np
import onnx_ir as ir

from bridge.graph import provenance
from bridge.graph.affine import fold_affine
from bridge.graph.values import constant_array, new_constant, new_node, static_shape

IMAGE_RANK = 4


def batch_norm_to_conv(model: ir.Model) -> None:
    """Rewrites every BatchNormalization whose four parameters are constant and whose input is an image or comes from a Conv or Gemm."""
    for node in list(model.graph):
        if node.op_type == "BatchNormalization" and node.domain == "" and not node.attributes.get_int("training_mode", 0):
            _rewrite(model.graph, node)


def _rewrite(graph: ir.Graph, norm: ir.Node) -> None:
    data, shape = norm.inputs[0], static_shape(norm.inputs[0])
    factors = _factors(norm)
    if data is None or shape is None or factors is None:
        return
    if fold_affine(graph, [norm], *factors):
        return
    if len(shape) == IMAGE_RANK:
        _to_depthwise(graph, norm, shape, *factors)


def _factors(norm: ir.Node) -> tuple[np.ndarray, np.ndarray] | None:
    """The factors k and b as [C] float32, None if a parameter is computed at run time."""
    parameters = [constant_array(value) for value in norm.inputs[1:5]]
    if any(parameter is None for parameter in parameters):
        return None
    scale, bias, mean, variance = (np.asarray(parameter, np.float64) for parameter in parameters)
    factor = scale / np.sqrt(variance + norm.attributes.get_float("epsilon", 1e-5))
    return factor.astype(np.float32), (bias - mean * factor).astype(np.float32)


def _to_depthwise(graph: ir.Graph, norm: ir.Node, shape: tuple[int, ...], factor: np.ndarray, offset: np.ndarray) -> None:
    name = norm.outputs[0].name
    weight = new_constant(graph, f"{name}.weight", factor.reshape(-1, 1, 1, 1))
    bias = new_constant(graph, f"{name}.bias", offset)
    conv = new_node("Conv", [norm.inputs[0], weight, bias], list(shape))
    conv.attributes["group"] = ir.AttrInt64("group", shape[1])
    provenance.inherit([conv], [norm], main=norm, recognised="batch_norm")
    ir.convenience.replace_nodes_and_values(graph, norm, [norm], [conv], norm.outputs, conv.outputs)
