"""TensorFlow's FakeQuant operators that tf2onnx leaves as they are: narrow ranges, and fewer than 8 bits.

Source: tensorflow/core/kernels/fake_quant_ops_functor.h, `Nudge`; tf2onnx 1.17 writes the wide 8-bit ones as QuantizeLinear and DequantizeLinear itself.
"""

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper, numpy_helper

OPERATORS = frozenset({"FakeQuantWithMinMaxArgs", "FakeQuantWithMinMaxVars"})
BITS = 8  # the largest type of QuantizeLinear before opset 21


def spell_fake_quant(model: onnx.ModelProto) -> None:
    """Writes each such operator with a constant range as Clip, QuantizeLinear and DequantizeLinear; changes `model` in place."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes = list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        model.graph.node.extend(_spelled(model.graph, node, constants))


def nudged(low: float, high: float, least: int, most: int) -> tuple[np.float32, int]:
    """Scale and zero point of a range, moved so that zero is stored exactly, in float32 as TensorFlow computes them."""
    scale = np.float32((np.float32(high) - np.float32(low)) / np.float32(most - least))
    exact = np.float32(least) - np.float32(low) / scale
    return scale, int(np.clip(np.floor(exact + np.float32(0.5)), least, most))


def _spelled(graph: onnx.GraphProto, node: onnx.NodeProto, constants: Mapping[str, np.ndarray]) -> list[onnx.NodeProto]:
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    bits = attributes.get("num_bits", BITS)
    if node.op_type not in OPERATORS or bits > BITS or not all(name in constants for name in node.input[1:]):
        return [node]
    low, high = (constants[name] for name in node.input[1:]) if len(node.input) > 1 else (attributes["min"], attributes["max"])
    least, most = int(bool(attributes.get("narrow_range", 0))), 2**bits - 1
    scale, zero = nudged(float(low), float(high), least, most)
    name = node.name
    values = {
        "low": np.float32(least - zero) * scale,
        "high": np.float32(most - zero) * scale,
        "scale": scale,
        "zero_point": np.uint8(zero),
    }
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value), f"{name}/{key}") for key, value in values.items())
    scaled = [f"{name}/scale", f"{name}/zero_point"]
    return [
        helper.make_node("Clip", [node.input[0], f"{name}/low", f"{name}/high"], [f"{name}/clipped"], f"{name}/Clip"),
        helper.make_node("QuantizeLinear", [f"{name}/clipped", *scaled], [f"{name}/stored"], f"{name}/QuantizeLinear"),
        helper.make_node("DequantizeLinear", [f"{name}/stored", *scaled], [node.output[0]], f"{name}/DequantizeLinear"),
    ]
