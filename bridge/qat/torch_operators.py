"""What the int8 kernels of TFLite want of torch's operators; the op table has the details of the kernels."""

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Operator:
    """One of torch's.

    Attributes:
        tflite: TFLite's name of it, a row of the op table.
        data: positions of its activations; a parameter or a number may stand there as well.
        weight: position of its weight; None if it has none.
        axis: of the weight's output channels.
    """

    tflite: str
    data: tuple[int, ...] = (0,)
    weight: int | None = None
    axis: int = 0


OPERATORS: Mapping[str, Operator] = MappingProxyType(
    {
        "linear": Operator("FULLY_CONNECTED", weight=1),
        "conv1d": Operator("CONV_2D", weight=1),
        "conv2d": Operator("CONV_2D", weight=1),
        "add": Operator("ADD", (0, 1)),
        "sub": Operator("SUB", (0, 1)),
        "mul": Operator("MUL", (0, 1)),
        "matmul": Operator("BATCH_MATMUL", (0, 1)),
        "relu": Operator("RELU"),
        "hardtanh": Operator("RELU6"),
        "mean": Operator("MEAN"),
        "adaptive_avg_pool2d": Operator("MEAN"),
        "gelu": Operator("GELU"),
        "sigmoid": Operator("LOGISTIC"),
        "tanh": Operator("TANH"),
        "softmax": Operator("SOFTMAX"),
    }
)
# A matrix that is a parameter.
WITH_CONSTANT_MATRIX = Operator("FULLY_CONNECTED", weight=1, axis=-1)
# Nothing but values of the input, as integer as that.
MOVING = frozenset(
    {
        "_unsafe_view",
        "chunk",
        "clone",
        "contiguous",
        "detach",
        "dropout",
        "expand",
        "flatten",
        "getitem",
        "max_pool2d",
        "permute",
        "reshape",
        "select",
        "slice",
        "split",
        "squeeze",
        "t",
        "transpose",
        "unbind",
        "unflatten",
        "unsqueeze",
        "view",
    }
)
# What a kernel takes in, so that only its result is rounded.
ACTIVATIONS = frozenset({"hardtanh", "relu"})
TAKING_IN = frozenset({"add", "conv1d", "conv2d", "linear", "mul", "sub"})


def operator_name(node: Any) -> str:
    """`linear` of `aten.linear.default`; empty for what is no operator."""
    if getattr(node, "op", "") != "call_function":
        return ""
    if node.target is operator.getitem:
        return "getitem"
    return str(node.target.overloadpacket.__name__) if hasattr(node.target, "overloadpacket") else ""


def operator_of(node: Any) -> Operator | None:
    """The row of a node, None where there is none."""
    name = operator_name(node)
    if name == "matmul" and getattr(node.args[1], "op", "") == "get_attr":
        return WITH_CONSTANT_MATRIX
    if name == "adaptive_avg_pool2d" and set(node.args[1]) != {1}:
        return None
    if name == "hardtanh" and tuple(node.args[1:3]) != (0.0, 6.0):
        return None
    return OPERATORS.get(name) if not node.kwargs or name == "softmax" else None
