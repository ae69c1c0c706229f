"""Operators of onnxruntime's own domain that its optimizer writes, spelled out in standard ones."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import onnx_ir as ir

from bridge.graph import provenance
from bridge.graph.lowering.replacement import Builder, Replacement
from bridge.graph.values import constant_array

_MS = "com.microsoft"

# None = this form of the operator is not covered.
type Expansion = Callable[[Builder, ir.Node], Replacement | None]


def expand_contrib(model: ir.Model) -> None:
    """Replaces what `EXPANSIONS` knows; no shape needs to be known, for nothing behind such an operator has one.

    Source: onnxruntime docs/ContribOperators.md.
    """
    for node in list(model.graph):
        expansion = EXPANSIONS.get((node.domain, node.op_type))
        found = None if expansion is None else expansion(Builder(model.graph, str(node.name)), node)
        if found is not None:
            provenance.inherit(found.nodes, [node], main=node)
            pairs = [(old, new) for old, new in zip(node.outputs, found.outputs, strict=False) if new is not None and old.name]
            ir.convenience.replace_nodes_and_values(model.graph, node, [node], found.nodes, [old for old, _ in pairs], [new for _, new in pairs])


def move_to_own_domain(model: ir.Model) -> None:
    """What onnxruntime writes into the standard domain, where no version converter knows it, goes back to its own."""
    for node in model.graph:
        if node.domain == "" and node.op_type in _MISPLACED:
            node.domain = _MS
            model.opset_imports.setdefault(_MS, 1)


def _operand(node: ir.Node, index: int) -> ir.Value | None:
    return node.inputs[index] if index < len(node.inputs) else None


def _is_read(node: ir.Node, index: int) -> bool:
    return index < len(node.outputs) and (bool(node.outputs[index].uses()) or node.outputs[index].is_graph_output())


def _sum(build: Builder, *values: ir.Value | None) -> ir.Value:
    present = [value for value in values if value is not None]
    total = present[0]
    for value in present[1:]:
        total = build.op("Add", total, value)
    return total


def _gelu(build: Builder, node: ir.Node) -> Replacement | None:
    """Gelu(X), BiasGelu(A, B)."""
    return build.done(build.op("Gelu", _sum(build, *node.inputs)))


def _fast_gelu(build: Builder, node: ir.Node) -> Replacement | None:
    return build.done(build.op("Gelu", _sum(build, *node.inputs), attributes={"approximate": "tanh"}))


def _quick_gelu(build: Builder, node: ir.Node) -> Replacement | None:
    """X * sigmoid(alpha * X)."""
    x = node.inputs[0]
    gate = build.op("Sigmoid", build.op("Mul", x, build.scalar(node.attributes.get_float("alpha", 1.702))))
    return build.done(build.op("Mul", x, gate))


def _skip_layer_norm(build: Builder, node: ir.Node) -> Replacement | None:
    """LayerNormalization(input + skip + bias); the sum is the fourth output."""
    if _is_read(node, 1) or _is_read(node, 2):
        return None
    total = _sum(build, node.inputs[0], node.inputs[1], _operand(node, 4))
    attributes = {"axis": -1, "epsilon": node.attributes.get_float("epsilon", 1e-12)}
    return build.done(build.op("LayerNormalization", total, node.inputs[2], _operand(node, 3), attributes=attributes), None, None, total)


def _skip_rms_norm(build: Builder, node: ir.Node) -> Replacement | None:
    """The same with RMS normalization; inputs: input, skip, gamma, bias."""
    if _is_read(node, 1) or _is_read(node, 2):
        return None
    total = _sum(build, node.inputs[0], node.inputs[1], _operand(node, 3))
    return build.done(_rms(build, total, node.inputs[2], node.attributes.get_float("epsilon", 1e-12)), None, None, total)


def _rms_norm(build: Builder, node: ir.Node) -> Replacement | None:
    if node.attributes.get_int("axis", -1) != -1 or _is_read(node, 1):
        return None
    return build.done(_rms(build, node.inputs[0], node.inputs[1], node.attributes.get_float("epsilon", 1e-5)))


def _rms(build: Builder, x: ir.Value | None, gamma: ir.Value | None, epsilon: float) -> ir.Value:
    mean = build.op("ReduceMean", build.op("Mul", x, x), build.integers([-1]), attributes={"keepdims": 1})
    root = build.op("Sqrt", build.op("Add", mean, build.scalar(epsilon)))
    return build.op("Mul", build.op("Div", x, root), gamma)


def _fused_matmul(build: Builder, node: ir.Node) -> Replacement | None:
    """The product times alpha; a transposed B only where it is constant, a transposed A not at all."""
    left, right = node.inputs[0], node.inputs[1]
    if any(node.attributes.get_int(name, 0) for name in ("transA", "transBatchA", "transBatchB")):
        return None
    if node.attributes.get_int("transB", 0):
        array = constant_array(right)
        if array is None:
            return None
        right = build.constant(np.swapaxes(array, -1, -2))
    product = build.op("MatMul", left, right)
    alpha = node.attributes.get_float("alpha", 1.0)
    return build.done(product if alpha == 1.0 else build.op("Mul", product, build.scalar(alpha)))


def _fused_conv(build: Builder, node: ir.Node) -> Replacement | None:
    """Conv, a sum with the fourth input, an activation."""
    own = ("activation", "activation_params")
    attributes = {name: attribute.value for name, attribute in node.attributes.items() if name not in own}
    value = _sum(build, build.op("Conv", *node.inputs[:3], attributes=attributes), _operand(node, 3))
    activation = node.attributes.get_string("activation", "")
    parameters = list(node.attributes.get_floats("activation_params", []))
    if activation == "Clip" and len(parameters) == 2:
        return build.done(build.op("Clip", value, build.scalar(parameters[0]), build.scalar(parameters[1])))
    names = _ACTIVATION_PARAMETERS.get(activation)
    if names is None:
        return None
    return build.done(build.op(activation, value, attributes=dict(zip(names, parameters, strict=False))) if activation else value)


_ACTIVATION_PARAMETERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"": (), "Relu": (), "Sigmoid": (), "Tanh": (), "LeakyRelu": ("alpha",), "HardSigmoid": ("alpha", "beta")}
)

_MISPLACED = frozenset({"SimplifiedLayerNormalization"})
EXPANSIONS: Mapping[tuple[str, str], Expansion] = MappingProxyType(
    {
        (_MS, "BiasGelu"): _gelu,
        (_MS, "FastGelu"): _fast_gelu,
        (_MS, "FusedConv"): _fused_conv,
        (_MS, "FusedMatMul"): _fused_matmul,
        (_MS, "Gelu"): _gelu,
        (_MS, "QuickGelu"): _quick_gelu,
        (_MS, "SkipLayerNormalization"): _skip_layer_norm,
        (_MS, "SkipSimplifiedLayerNormalization"): _skip_rms_norm,
        (_MS, "SimplifiedLayerNormalization"): _rms_norm,
    }
)
