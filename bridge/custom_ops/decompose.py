"""Registered decompositions become local functions of the model, one for each node: what it does may depend on the node's attributes."""

import inspect
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Any

import onnx
from msgspec import Struct
from onnx import helper, numpy_helper

from bridge.custom_ops.builder import Builder, Tensor
from bridge.custom_ops.registry import CustomOp, find
from bridge.errors import BridgeError, UsageError

_OVERLOADS_SINCE_IR = 10


class CustomCall(Struct, frozen=True):
    """A node of a registered operator, in the user's names.

    Attributes:
        op: what is registered for it.
        name: of the node, or `op_type` and position for one without.
        inputs: tensor names, empty for one that is left out.
        outputs: tensor names.
        attributes: name -> Python value or array.
    """

    op: CustomOp
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: MappingProxyType[str, Any]


def custom_calls(model: onnx.ModelProto) -> tuple[CustomCall, ...]:
    """The nodes of the main graph that have a registered operator, unless the file brings a function for it itself."""
    own = {(function.domain, function.name) for function in model.functions}
    return tuple(_call(op, node, position) for position, node, op in _nodes(model, own))


def _nodes(model: onnx.ModelProto, own: set[tuple[str, str]]) -> Iterator[tuple[int, onnx.NodeProto, CustomOp]]:
    for position, node in enumerate(model.graph.node):
        op = find(node.domain, node.op_type)
        if op is not None and (node.domain, node.op_type) not in own:
            yield position, node, op


def _call(op: CustomOp, node: onnx.NodeProto, position: int) -> CustomCall:
    attributes = {attribute.name: _value(attribute) for attribute in node.attribute}
    return CustomCall(op, node.name or f"{node.op_type}_{position}", tuple(node.input), tuple(node.output), MappingProxyType(attributes))


def _value(attribute: onnx.AttributeProto) -> object:
    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    if attribute.type == onnx.AttributeProto.STRINGS:
        return [text.decode("utf-8", "replace") for text in value]
    return list(value) if attribute.type in (onnx.AttributeProto.FLOATS, onnx.AttributeProto.INTS) else value


def with_decompositions(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with a local function for every node whose operator has a registered decomposition; the same object where there is none.

    Raises:
        UsageError: a decomposition fails or does not fit its node.
    """
    own = {(function.domain, function.name) for function in model.functions}
    if not any(op.decomposition is not None for _, _, op in _nodes(model, own)):
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    opset = next((entry.version for entry in copy.opset_import if entry.domain in ("", "ai.onnx")), 1)
    for position, node, op in _nodes(copy, own):
        if op.decomposition is not None:
            function = _function(op, _call(op, node, position), opset)
            function.overload = node.overload = f"bridge{position}"
            copy.functions.append(function)
    copy.ir_version = max(copy.ir_version, _OVERLOADS_SINCE_IR)
    return copy


def _function(op: CustomOp, call: CustomCall, opset: int) -> onnx.FunctionProto:
    decomposition: Any = op.decomposition
    if hasattr(decomposition, "to_function_proto"):
        decomposition = decomposition.to_function_proto()
    if isinstance(decomposition, onnx.FunctionProto):
        function = onnx.FunctionProto()
        function.CopyFrom(decomposition)
        function.domain, function.name = op.domain, op.op_type
        return function
    return _built(op, call, decomposition, opset)


def _built(op: CustomOp, call: CustomCall, decomposition: Callable[..., object], opset: int) -> onnx.FunctionProto:
    build = Builder(str(op))
    names = [f"x{index}" for index in range(len(call.inputs))]
    operands = [Tensor(name) if given else None for name, given in zip(names, call.inputs, strict=True)]
    where = f"The decomposition of {op}, node {call.name!r}"
    try:
        inspect.signature(decomposition).bind(build, *operands, **call.attributes)
    except TypeError as error:
        raise UsageError(
            f"{where}: does not take what the node has: {error}. Received: {len(operands)} inputs, attributes {sorted(call.attributes)}.",
            hint="It takes the builder, the inputs in order (None for one that is left out) and the attributes by name; give optional ones a default.",
        ) from error
    try:
        result = decomposition(build, *operands, **call.attributes)
    except BridgeError:
        raise
    except Exception as error:  # whatever the user's function does
        raise UsageError(f"{where}: fails: {type(error).__name__}: {error}") from error
    results = result if isinstance(result, tuple) else (result,)
    if len(results) < len(call.outputs) or not all(isinstance(each, Tensor) for each in results):
        raise UsageError(
            f"{where}: must return {len(call.outputs)} tensors of its builder. Received: {result!r}.", hint="Return one, or a tuple of all outputs."
        )
    outputs: list[str] = []
    for each in results[: len(call.outputs)]:
        outputs.append(each.name if each.name not in (*names, *outputs) else build.op("Identity", each).name)
    return helper.make_function(op.domain, op.op_type, names, outputs, build.nodes, [helper.make_opsetid("", opset)])
