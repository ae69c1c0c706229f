"""BatchNormalization with constant statistics: folded into the Conv or Gemm before it, else a 1x1 depthwise Conv.

`y = x * k + b` per channel with `k = scale / sqrt(var + epsilon)`, `b = bias - mean * k` (ONNX BatchNormalization, opset 15). onnx2tf writes what
it cannot fold as MUL and ADD. In int8 the product between them needs a scale of its own: a channel without variance gave it the range
-1623 .. 4 for a sum of -4 .. 4 and left 1 dB of an ESPNetV2 whose other layers were all float. A depthwise convolution has no such product.
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import onnx_ir as ir

from bridge.graph import provenance
from bridge.graph.values import constant_array, new_constant, new_node, only_user, static_shape

# Axis of the output channels in the weight of a producer: [M, C, kernel...], [C, M, kernel...], [K, N].
WEIGHT_AXIS: Mapping[str, int] = MappingProxyType({"Conv": 0, "ConvTranspose": 1, "Gemm": 1})
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
    producer = data.producer()
    if producer is not None and only_user(data) is norm and not data.is_graph_output() and _fold(graph, producer, norm, *factors):
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


def _fold(graph: ir.Graph, producer: ir.Node, norm: ir.Node, factor: np.ndarray, offset: np.ndarray) -> bool:
    """Scales weights and bias of the producer; false where it has no constant ones."""
    if producer.op_type not in WEIGHT_AXIS or producer.domain != "":
        return False
    weight = constant_array(producer.inputs[1])
    has_bias = len(producer.inputs) > 2 and producer.inputs[2] is not None
    bias = constant_array(producer.inputs[2]) if has_bias else np.zeros(1, np.float32)
    if weight is None or bias is None:
        return False
    axis = WEIGHT_AXIS[producer.op_type]
    if producer.op_type == "ConvTranspose" and producer.attributes.get_int("group", 1) != 1:
        return False  # the axis holds only the channels of one group
    if producer.op_type == "Gemm":
        if producer.attributes.get_float("alpha", 1.0) != 1.0 or producer.attributes.get_float("beta", 1.0) != 1.0:
            return False
        axis -= producer.attributes.get_int("transB", 0)
    shape = [1] * weight.ndim
    shape[axis] = -1
    name = norm.outputs[0].name
    scaled = new_constant(graph, f"{name}.weight", (weight * factor.reshape(shape)).astype(np.float32))
    moved = new_constant(graph, f"{name}.bias", (bias.reshape(-1) * factor + offset).astype(np.float32))
    whole = new_node(producer.op_type, [producer.inputs[0], scaled, moved], list(static_shape(norm.outputs[0]) or ()))
    whole.attributes.update(producer.attributes)
    _replace(graph, [producer, norm], whole, main=producer)
    return True


def _to_depthwise(graph: ir.Graph, norm: ir.Node, shape: tuple[int, ...], factor: np.ndarray, offset: np.ndarray) -> None:
    name = norm.outputs[0].name
    weight = new_constant(graph, f"{name}.weight", factor.reshape(-1, 1, 1, 1))
    bias = new_constant(graph, f"{name}.bias", offset)
    conv = new_node("Conv", [norm.inputs[0], weight, bias], list(shape))
    conv.attributes["group"] = ir.AttrInt64("group", shape[1])
    _replace(graph, [norm], conv, main=norm)


def _replace(graph: ir.Graph, old: list[ir.Node], new: ir.Node, *, main: ir.Node) -> None:
    provenance.inherit([new], old, main=main, recognised="batch_norm" if len(old) == 1 else None)
    ir.convenience.replace_nodes_and_values(graph, old[-1], old, [new], old[-1].outputs, new.outputs)
