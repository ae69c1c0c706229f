"""TensorFlow's FakeQuant operators as ONNX: QuantizeLinear and DequantizeLinear with the scale that TensorFlow computes, and Clip where they store less.

tf2onnx itself knows those of 8 bits without a narrow range only, and its scale may be off by one unit in the last place.

Source: tensorflow/core/kernels/fake_quant_ops_functor.h, `Nudge`.
"""

from typing import Any

import numpy as np
import onnx

OPERATORS = frozenset({"FakeQuantWithMinMaxArgs", "FakeQuantWithMinMaxVars"})
BITS = 8  # the largest type of QuantizeLinear before opset 21
STORED = (0, 255)  # by uint8


def nudged(low: float, high: float, least: int, most: int) -> tuple[np.float32, int]:
    """Scale and zero point of a range, moved so that zero is stored exactly, in float32 as TensorFlow computes them."""
    scale = np.float32((np.float32(high) - np.float32(low)) / np.float32(most - least))
    exact = np.float32(least) - np.float32(low) / scale
    return scale, int(np.clip(np.floor(exact + np.float32(0.5)), least, most))


def write_fake_quant(graph: Any, node: Any, name: str, _: Any) -> Any:
    """A handler of tf2onnx: replaces a FakeQuant operator; leaves one whose range is not constant, which has no ONNX.

    Args:
        graph: tf2onnx's, changed in place.
        node: the operator.
        name: of the operator.
    """
    bits = node.get_attr_value("num_bits", BITS)
    ends = node.inputs[1:]
    if bits > BITS or not all(one.is_const() for one in ends):
        return node
    low, high = (float(one.get_tensor_value()) for one in ends) if ends else (node.get_attr_value("min"), node.get_attr_value("max"))
    least, most = int(bool(node.get_attr_value("narrow_range", 0))), 2**bits - 1
    scale, zero = nudged(low, high, least, most)
    kind, shape = graph.get_dtype(node.output[0]), graph.get_shape(node.output[0])

    def constant(key: str, value: Any) -> str:
        return str(graph.make_const(f"{name}/{key}", np.asarray(value)).output[0])

    given = node.input[0]
    scaled = [constant("scale", scale), constant("zero_point", np.uint8(zero))]
    result = node.output[0]
    graph.remove_node(node.name)
    if (least, most) != STORED:
        bounds = [constant("low", np.float32(least - zero) * scale), constant("high", np.float32(most - zero) * scale)]
        given = graph.make_node("Clip", [given, *bounds], name=f"{name}/Clip", shapes=[shape], dtypes=[kind]).output[0]
    integers = graph.make_node(
        "QuantizeLinear", [given, *scaled], name=f"{name}/QuantizeLinear", shapes=[shape], dtypes=[onnx.TensorProto.UINT8]
    ).output[0]
    return graph.make_node("DequantizeLinear", [integers, *scaled], name=f"{name}/DequantizeLinear", outputs=[result], shapes=[shape], dtypes=[kind])
