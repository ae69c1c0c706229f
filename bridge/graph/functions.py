"""Replaces operators that onnx2tf does not know by the definition that ONNX itself gives for them."""

from typing import Any

import onnx
import onnx_ir as ir
import onnx_ir.passes.common as common

from bridge.graph.facts import written_as

_DOMAIN = "bridge.definition"

# onnx infers no shape for these, so nothing behind them would have one.
WITHOUT_SHAPES = frozenset({"GroupNormalization", "MeanVarianceNormalization"})
# onnx2tf 2.6.9 writes CUSTOM:ONNX_<NAME>, which no runtime has.
UNKNOWN_TO_ONNX2TF = frozenset(
    {
        "AffineGrid", "Attention", "CausalConvWithState", "CenterCropPad", "DynamicQuantizeLinear", "LinearAttention", "NegativeLogLikelihoodLoss",
        "RMSNormalization", "RotaryEmbedding", "SoftmaxCrossEntropyLoss", "SwiGLU", "Swish",
    }
)  # fmt: skip


def expand_without_shapes(model: ir.Model) -> None:
    """Inlines `WITHOUT_SHAPES`; no shape needs to be known."""
    _expand(model, WITHOUT_SHAPES)


def expand_unknown(model: ir.Model) -> None:
    """Inlines `UNKNOWN_TO_ONNX2TF`; the shapes of all their inputs must be known."""
    _expand(model, UNKNOWN_TO_ONNX2TF)


def _expand(model: ir.Model, op_types: frozenset[str]) -> None:
    """Inlines definitions; their nodes stand for the operator, under its name.

    Source: the function bodies in the ONNX operator schemas.
    """
    opset = model.opset_imports.get("", 1)
    for node in list(model.graph):
        if node.domain == "" and node.op_type in op_types:
            function = _definition(node, opset)
            if function is not None:
                # One function per node: a definition depends on which inputs and attributes a node has.
                function.domain, function.name = _DOMAIN, f"{node.op_type}_{len(model.functions)}"
                body = ir.serde.deserialize_function(function)
                model.functions[body.identifier()] = body
                written_as(node, node.op_type)  # inlining hands the metadata of a call on to the body
                node.domain, node.op_type = body.domain, body.name
    if model.functions:
        model.opset_imports[_DOMAIN] = 1
        common.InlinePass()(model)
        model.opset_imports.pop(_DOMAIN, None)


def _definition(node: ir.Node, opset: int) -> onnx.FunctionProto | None:
    """The schema's function for this node, written for the model's opset; None where the schema has none."""
    if not onnx.defs.has(node.op_type, opset, ""):
        return None
    schema: Any = onnx.defs.get_schema(node.op_type, opset, "")  # onnx's stub leaves the function members out
    for name, attribute in schema.attributes.items():
        if name not in node.attributes and attribute.default_value.name:
            node.attributes[name] = ir.serde.deserialize_attribute(attribute.default_value)
    if schema.has_function:
        function = onnx.FunctionProto()
        function.CopyFrom(schema.function_body)
    elif schema.has_context_dependent_function:
        types = [b"" if value is None else _type(value).SerializeToString() for value in node.inputs]
        content = ir.serde.serialize_node(node).SerializeToString()
        function = onnx.FunctionProto.FromString(schema.get_context_dependent_function(content, types))
    else:
        return None
    for entry in function.opset_import:
        entry.version = opset if entry.domain == "" else entry.version
    _match_outputs(function, len(node.outputs))
    return function


def _match_outputs(function: onnx.FunctionProto, count: int) -> None:
    """A definition leaves optional outputs out that this node does not have, but still declares them."""
    del function.output[count:]
    written = {name for node in function.node for name in node.output}
    for name in function.output:
        if name not in written:  # an optional output between others; nobody reads it
            function.node.append(onnx.NodeProto(op_type="Identity", input=[function.output[0]], output=[name]))


def _type(value: ir.Value) -> onnx.TypeProto:
    """What is known of a value; float where the type is not."""
    proto = onnx.TypeProto()
    ir.serde.serialize_type_into(proto, value.type or ir.TensorType(ir.DataType.FLOAT))
    if value.shape is not None:
        ir.serde.serialize_shape_into(proto, value.shape)
    return proto
