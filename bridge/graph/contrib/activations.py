"""GELU in its fused forms, and activations as attributes of fused operators."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import onnx_ir as ir

from bridge.graph.contrib.expansion import operand, scalar_like, scaled, total
from bridge.graph.lowering.replacement import Builder, Replacement

_PARAMETERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "": (),
        "Elu": ("alpha",),
        "HardSigmoid": ("alpha", "beta"),
        "LeakyRelu": ("alpha",),
        "Relu": (),
        "Selu": ("alpha", "gamma"),
        "Sigmoid": (),
        "Softplus": (),
        "Softsign": (),
        "Tanh": (),
        "ThresholdedRelu": ("alpha",),
    }
)


def activated(build: Builder, value: ir.Value, name: str, parameters: Sequence[float]) -> ir.Value | None:
    """`value` behind the activation of a fused operator, None for one that is not known; `""` is none."""
    if name == "Clip" and len(parameters) == 2:
        return build.op("Clip", value, *(scalar_like(build, bound, value) for bound in parameters))
    if name == "HardSwish":
        return build.op("HardSwish", value)
    names = _PARAMETERS.get(name)
    if names is None:
        return None
    return build.op(name, value, attributes=dict(zip(names, parameters, strict=False))) if name else value


def silu(build: Builder, value: ir.Value) -> ir.Value:
    """X * sigmoid(x)."""
    return build.op("Mul", value, build.op("Sigmoid", value))


def gelu(build: Builder, node: ir.Node) -> Replacement | str:
    """Gelu(X), BiasGelu(A, B)."""
    return build.done(build.op("Gelu", total(build, *node.inputs)))


def fast_gelu(build: Builder, node: ir.Node) -> Replacement | str:
    """FastGelu(X, bias): the tanh form."""
    return build.done(build.op("Gelu", total(build, *node.inputs), attributes={"approximate": "tanh"}))


def gemm_fast_gelu(build: Builder, node: ir.Node) -> Replacement | str:
    """GemmFastGelu(X, W, bias)."""
    value = total(build, build.op("MatMul", *node.inputs[:2]), operand(node, 2))
    return build.done(build.op("Gelu", value, attributes={"approximate": "tanh"}))


def quick_gelu(build: Builder, node: ir.Node) -> Replacement | str:
    """X * sigmoid(alpha * X)."""
    x = total(build, node.inputs[0])
    gate = build.op("Sigmoid", scaled(build, x, node.attributes.get_float("alpha", 1.702)))
    return build.done(build.op("Mul", x, gate))


def bias_split_gelu(build: Builder, node: ir.Node) -> Replacement | str:
    """The left half of X + bias times the GELU of the right half."""
    left, right = build.ops("Split", total(build, *node.inputs), attributes={"axis": -1, "num_outputs": 2}, outputs=2)
    return build.done(build.op("Mul", left, build.op("Gelu", right)))


def scaled_silu(build: Builder, node: ir.Node) -> Replacement | str:
    """SiLU of X times a scale, which is an input or the attribute alpha."""
    x, scale = total(build, node.inputs[0]), operand(node, 1)
    alpha = node.attributes.get_float("alpha", 1.0)
    return build.done(silu(build, scaled(build, x, alpha) if scale is None else build.op("Mul", x, scale)))
