"""Matchers that ask for a size: of an axis, of the constants that a node reads, of the sums that it adds up."""

from collections.abc import Callable, Mapping
from math import prod
from types import MappingProxyType
from typing import ClassVar, Literal, override

from pydantic import Field, StrictInt

from bridge.rules.matcher import STANDARD_DOMAINS, BoundedMatcher
from bridge.types import NodeFacts


class AxisSizeMatcher(BoundedMatcher):
    """Nodes whose first output has an axis of a given size."""

    quantity: ClassVar[str] = "output axis size"
    kind: Literal["axis_size"]
    axis: StrictInt | None = Field(default=None, description="Counted from the end below 0. Left out: the node's own attribute axis, else -1.")

    @override
    def measure(self, node: NodeFacts) -> int | None:
        own = node.attributes.get("axis")
        axis = self.axis if self.axis is not None else own if isinstance(own, int) else -1
        shape = node.outputs[0].shape if node.outputs else ()
        size = shape[axis] if -len(shape) <= axis < len(shape) else None
        return size if isinstance(size, int) else None


class FanInMatcher(BoundedMatcher):
    """Layers with constant weights (Conv, ConvTranspose, Gemm, MatMul) by how many products one output element adds up."""

    quantity: ClassVar[str] = "fan-in"
    kind: Literal["fan_in"]

    @override
    def measure(self, node: NodeFacts) -> int | None:
        return _of_constant(node, _FAN_IN, axes=2)


class ChannelsMatcher(BoundedMatcher):
    """Layers with constants per channel (convolutions, matrix products, BatchNorm, PRelu, ...) by how many channels they write."""

    quantity: ClassVar[str] = "channel count"
    kind: Literal["channels"]

    @override
    def measure(self, node: NodeFacts) -> int | None:
        return _of_constant(node, _CHANNELS, axes=1)


class ConstantInputsMatcher(BoundedMatcher):
    """Nodes by the number of inputs whose value is known before the model runs (weights, fixed factors)."""

    quantity: ClassVar[str] = "number of constant inputs"
    kind: Literal["constant_inputs"]

    @override
    def measure(self, node: NodeFacts) -> int | None:
        return len(node.constant_inputs)


type _Size = Callable[[NodeFacts, tuple[int, ...]], int]  # of a node and the shape of its constant

_FAN_IN: Mapping[str, _Size] = MappingProxyType(
    {
        "Conv": lambda _, weight: prod(weight[1:]),  # [M, C/group, kernel...]
        "ConvTranspose": lambda node, weight: weight[0] // _group(node) * prod(weight[2:]),  # [C, M/group, kernel...]
        "Gemm": lambda node, weight: weight[1 if node.attributes.get("transB") else 0],  # [K, N], with transB [N, K]
        "MatMul": lambda _, weight: weight[-2],  # [..., K, N]
        "CONV_2D": lambda _, weight: prod(weight[1:]),  # [M, kernel..., C/group]
        "DEPTHWISE_CONV_2D": lambda _, weight: prod(weight[1:-1]),  # [1, kernel..., C]
        "FULLY_CONNECTED": lambda _, weight: weight[-1],  # [N, K]
    }
)

_CHANNELS: Mapping[str, _Size] = MappingProxyType(
    {
        "Conv": lambda _, weight: weight[0],
        "ConvTranspose": lambda node, weight: weight[1] * _group(node) if len(weight) > 1 else weight[0],
        "Gemm": lambda node, weight: weight[0 if node.attributes.get("transB") else -1],
        "MatMul": lambda _, weight: weight[-1],
        "CONV_2D": lambda _, weight: weight[0],
        "DEPTHWISE_CONV_2D": lambda _, weight: weight[-1],
        "FULLY_CONNECTED": lambda _, weight: weight[0],
        "PRelu": lambda _, weight: weight[0],  # [C] or [C, 1, 1]
    }
    | dict.fromkeys(
        ("BatchNormalization", "GroupNormalization", "InstanceNormalization", "LayerNormalization", "RMSNormalization"), lambda _, scale: scale[-1]
    )
)


def _of_constant(node: NodeFacts, sizes: Mapping[str, _Size], *, axes: int) -> int | None:
    """What the table says of the constant that the node reads second, None for other nodes and for constants of fewer axes or open sizes."""
    if node.op_type not in sizes or node.domain not in STANDARD_DOMAINS or 1 not in node.constant_inputs:
        return None
    shape = node.inputs[1].shape
    if len(shape) < axes or any(isinstance(size, str) for size in shape):
        return None
    return sizes[node.op_type](node, tuple(int(size) for size in shape))


def _group(node: NodeFacts) -> int:
    group = node.attributes.get("group", 1)
    return group if isinstance(group, int) and group > 0 else 1
