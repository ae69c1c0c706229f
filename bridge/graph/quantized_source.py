"""Models that hold QuantizeLinear and DequantizeLinear: the float model inside, and what the file says about how it is stored.

Source: ONNX operators QuantizeLinear and DequantizeLinear, opset 10 to 23 (per tensor, per axis).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnx_ir as ir

from bridge.graph import provenance
from bridge.graph.folding import fold_constants
from bridge.graph.integer_operators import expansion_of, spell_out
from bridge.graph.patterns.matching import tensor_of
from bridge.graph.source_nodes import name_nodes
from bridge.types import Diagnostic, QuantizedSource, StoredAs

ACTIVATION = "QuantizeLinear"
BACK = "DequantizeLinear"
# An activation that a kernel takes in: the value between it and the operator before it exists in no TFLite file.
FUSED = frozenset({"Relu", "Clip"})
# What has the values of its input: as integer as that.
MOVING = frozenset({"Flatten", "Identity", "MaxPool", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"})
POSITIVE = frozenset({"Abs", "Exp", "HardSigmoid", "Relu", "Sigmoid", "Softmax"})
SUMS = frozenset({"AveragePool", "Concat", "GlobalAveragePool", "GlobalMaxPool", "ReduceMax", "ReduceMean"})  # of positive values positive
LOWEST = {"INT8": -128, "INT16": -32768}
SIGNED = {"UINT8": ("INT8", 128), "UINT16": ("INT16", 32768)}
STORED = {"INT4": "INT4", "INT8": "INT8", "INT16": "INT16", "INT32": "INT32"}


def _constant(value: ir.Value | None) -> np.ndarray | None:
    """The contents of an initializer or a Constant node."""
    tensor = tensor_of(value)
    return None if tensor is None else tensor.numpy()


@dataclass(slots=True)
class _Reader:
    """Takes the quantization out of one graph.

    Attributes:
        graph: changed in place.
        activations: tensor -> how the file stores it.
        weights: tensor that a node reads -> likewise.
        findings: what cannot be kept.
        stand_ins: tensor that is quantized -> what takes the place of its quantized values.
    """

    graph: ir.Graph
    activations: dict[ir.Value, StoredAs] = field(default_factory=dict)
    weights: dict[ir.Value, StoredAs] = field(default_factory=dict)
    findings: list[Diagnostic] = field(default_factory=list)
    stand_ins: dict[ir.Value, ir.Value] = field(default_factory=dict)

    def take_out(self) -> None:
        for node in list(self.graph):
            if node.op_type in MOVING:
                self._move_in_front(node)
        for node in [node for node in self.graph if _is(node, BACK)]:
            source = node.inputs[0]
            producer = None if source is None else source.producer()
            if source is None:
                continue
            if _constant(source) is not None:
                self._fold(node, _constant(source))
            elif producer is not None and _is(producer, ACTIVATION) and producer.inputs[0] is not None:
                self._pair(producer, node)
        for node in [node for node in self.graph if _is(node, ACTIVATION)]:
            if not node.outputs[0].uses() and not node.outputs[0].is_graph_output():
                self.graph.remove(node, safe=True)

    def _move_in_front(self, node: ir.Node) -> None:
        """What moves integers moves the float values instead, and a QuantizeLinear of the same form follows."""
        quantize = None if node.inputs[0] is None else node.inputs[0].producer()
        stored, real = (None, None) if quantize is None or not _is(quantize, ACTIVATION) else (_stored(quantize), quantize.inputs[0])
        if quantize is None or stored is None or real is None or len(stored.scales) > 1:
            return
        self.activations.setdefault(real, _signed(stored))
        moved = node.outputs[0]
        again = ir.node(ACTIVATION, [moved, *quantize.inputs[1:]])
        again.name = f"{node.name}.{ACTIVATION}"
        provenance.stamp(again, again.name)
        again.outputs[0].shape, again.outputs[0].type = moved.shape, moved.type
        ir.convenience.replace_all_uses_with(moved, again.outputs[0], replace_graph_outputs=True)
        again.replace_input_with(0, moved)
        node.replace_input_with(0, real)
        moved.type = ir.TensorType(ir.DataType.FLOAT)
        self.graph.insert_after(node, again)

    def _pair(self, quantize: ir.Node, dequantize: ir.Node) -> None:
        value, stored = quantize.inputs[0], _stored(quantize)
        if value is None or stored is None or not _same(quantize, dequantize):
            return
        array = _constant(value)
        if array is not None:
            self._fold(dequantize, _quantized(array.astype(np.float32), stored, quantize))
            return
        if value not in self.stand_ins:
            self.stand_ins[value] = self._stand_in(value, stored, quantize, dequantize)
        stand_in = self.stand_ins[value]
        known = self.activations.setdefault(stand_in, _signed(stored))
        if known != _signed(stored):
            self.findings.append(_conflict(str(value.name), provenance.name(quantize), known, _signed(stored)))
        self._replace(dequantize, stand_in)

    def _stand_in(self, value: ir.Value, stored: StoredAs, quantize: ir.Node, dequantize: ir.Node) -> ir.Value:
        """The float value under the name of the quantized one, so that comparisons see what the file computes with.

        A range that begins at zero is a Relu: onnxruntime's quantizer leaves the operator out where saturation does the same.
        """
        name = dequantize.outputs[0].name
        if _begins_at_zero(_signed(stored)) and not self._is_positive(value):
            relu = ir.node("Relu", [value])
            relu.name = f"{quantize.name}.Relu"
            provenance.stamp(relu, relu.name)
            result = relu.outputs[0]
            result.name, result.shape, result.type = name, value.shape, value.type or ir.TensorType(ir.DataType.FLOAT)
            self.graph.insert_before(quantize, relu)
            return result
        if value.producer() is not None and not value.is_graph_output() and all(_is(use.node, ACTIVATION) for use in value.uses()):
            value.name = name
        return value

    def _is_positive(self, value: ir.Value) -> bool:
        """Whether it cannot be negative anyhow; of a model input nobody knows, and its saturation is the user's."""
        producer = value.producer()
        if producer is None or producer.op_type in POSITIVE:
            return True
        if producer.op_type == "Clip":
            lowest = _constant(producer.inputs[1]) if len(producer.inputs) > 1 else None
            return lowest is not None and float(lowest.reshape(-1)[0]) >= 0.0
        if producer.op_type not in MOVING | SUMS:
            return False
        operands = [operand for operand in producer.inputs if operand is not None and _constant(operand) is None]
        return all((operand in self.activations and _begins_at_zero(self.activations[operand])) or self._is_positive(operand) for operand in operands)

    def _fold(self, node: ir.Node, array: np.ndarray | None) -> None:
        stored = _stored(node)
        if array is None or stored is None:
            return
        real = _real(array, stored)
        name = str(node.outputs[0].name)
        value = ir.Value(
            name=f"{name}_real", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(real.shape), const_value=ir.tensor(real, name=f"{name}_real")
        )
        self.graph.register_initializer(value)
        self.weights[value] = _signed(stored)
        self._replace(node, value)

    def _replace(self, node: ir.Node, value: ir.Value) -> None:
        """`value` for the output of a DequantizeLinear; a model output keeps its name."""
        old = node.outputs[0]
        shown = old.is_graph_output()
        if shown and value.is_graph_output():
            return
        ir.convenience.replace_all_uses_with(old, value, replace_graph_outputs=True)
        name = old.name
        self.graph.remove(node, safe=True)
        if shown:
            value.name, value.shape = name, value.shape or old.shape
            if value.type is None:
                value.type = old.type


@dataclass(frozen=True, slots=True, eq=False)
class SplitModel:
    """A quantized model in its parts.

    Attributes:
        inside: the float model inside of it, with the tensors' names.
        whole: the quantized model, with float operators between Q and DQ where it has operators on integers, so that it shows the tensors of `inside`.
        said: what the file says of tensors and nodes.
    """

    inside: onnx.ModelProto
    whole: onnx.ModelProto
    said: QuantizedSource


def split_quantization(proto: onnx.ModelProto) -> SplitModel | None:
    """The parts of a quantized model, None for a float one.

    A node is an integer one where every activation that it reads comes from a DequantizeLinear and what it writes goes to a QuantizeLinear,
    perhaps behind a Relu or Clip that its kernel takes in, or where it only moves integer data.
    """
    if not any(_is_quantized(node) for node in proto.graph.node):
        return None
    model = ir.from_proto(proto)
    name_nodes(model.graph)
    whole = ir.to_proto(model) if spell_out(model) else proto
    fold_constants(model)  # scales and weights may be computed, as torch's exporter writes them
    reader = _Reader(model.graph)
    reader.take_out()
    integer = {provenance.name(node) for node in _integer_nodes(model.graph, reader.activations)}
    weights = {
        provenance.name(node): reader.weights[value]
        for node in model.graph
        for value in node.inputs
        if value in reader.weights and reader.weights[value].type != "INT32"
    }
    source = QuantizedSource(
        activations={str(value.name): stored for value, stored in reader.activations.items()},
        weights=weights,
        integer_nodes=frozenset(integer),
        diagnostics=tuple(reader.findings),
    )
    return SplitModel(ir.to_proto(model), whole, source)


def _is_quantized(node: onnx.NodeProto) -> bool:
    return (node.op_type == BACK and node.domain in ("", "ai.onnx")) or expansion_of(node.domain, node.op_type) is not None


def _integer_nodes(graph: ir.Graph, activations: dict[ir.Value, StoredAs]) -> Iterator[ir.Node]:
    found: set[ir.Value] = set(activations)
    for node in graph:
        inputs = [value for value in node.inputs if value is not None and _constant(value) is None]
        if not inputs or not all(value in found for value in inputs):
            continue
        if node.op_type in MOVING or all(_stays_integer(value, activations) for value in node.outputs):
            found.update(node.outputs)
            yield node


def _stays_integer(value: ir.Value, activations: dict[ir.Value, StoredAs]) -> bool:
    """Whether the value is quantized at once, or behind an activation that is all that reads it."""
    if value in activations:
        return True
    users = [use.node for use in value.uses()]
    return len(users) == 1 and not value.is_graph_output() and users[0].op_type in FUSED and users[0].outputs[0] in activations


def _is(node: ir.Node, op_type: str) -> bool:
    return node.op_type == op_type and node.domain in ("", "ai.onnx")


def _stored(node: ir.Node) -> StoredAs | None:
    """Scale, zero point and type that a Q or DQ node names; None where they are no constants or scales per block."""
    scale, zero = _constant(node.inputs[1]), node.inputs[2] if len(node.inputs) > 2 else None
    if scale is None or (zero is not None and _constant(zero) is None) or node.attributes.get_int("block_size", 0) != 0:
        return None
    if zero is not None and zero.dtype is not None:
        type_name = zero.dtype.name
        points = np.asarray(_constant(zero)).reshape(-1).astype(np.int64)
    else:
        source = node.inputs[0]
        type_name = source.dtype.name if _is(node, BACK) and source is not None and source.dtype is not None else "UINT8"
        points = np.zeros(scale.size, np.int64)
    if type_name not in STORED and type_name not in SIGNED:
        return None
    scales = scale.reshape(-1).astype(np.float32)
    return StoredAs(type_name, tuple(map(float, scales)), tuple(map(int, np.broadcast_to(points, scales.shape))), node.attributes.get_int("axis", 1))


def _begins_at_zero(stored: StoredAs) -> bool:
    return stored.zero_points == (LOWEST.get(stored.type),)


def _same(first: ir.Node, second: ir.Node) -> bool:
    one = _stored(first)
    return one is not None and one == _stored(second)


def _signed(stored: StoredAs) -> StoredAs:
    """The same real values in the signed type that TFLite has: stored values and zero points move by half the range."""
    if stored.type not in SIGNED:
        return stored
    name, shift = SIGNED[stored.type]
    return StoredAs(name, stored.scales, tuple(point - shift for point in stored.zero_points), stored.axis)


def _along(values: tuple[float, ...] | tuple[int, ...], stored: StoredAs, rank: int) -> np.ndarray:
    array = np.asarray(values)
    if array.size == 1:
        return array.reshape(())
    axis = stored.axis % rank
    return array.reshape([-1 if place == axis else 1 for place in range(rank)])


def _real(array: np.ndarray, stored: StoredAs) -> np.ndarray:
    """DequantizeLinear by its definition, in float32."""
    points, scales = _along(stored.zero_points, stored, array.ndim), _along(stored.scales, stored, array.ndim)
    result: np.ndarray = ((array.astype(np.int64) - points).astype(np.float32) * scales.astype(np.float32)).astype(np.float32)
    return result


def _quantized(array: np.ndarray, stored: StoredAs, node: ir.Node) -> np.ndarray:
    """QuantizeLinear by its definition: round half to even, saturate."""
    limits = {"INT4": (-8, 7), "INT8": (-128, 127), "UINT8": (0, 255), "INT16": (-32768, 32767), "UINT16": (0, 65535), "INT32": (-(2**31), 2**31 - 1)}
    points, scales = _along(stored.zero_points, stored, array.ndim), _along(stored.scales, stored, array.ndim)
    result: np.ndarray = np.clip(np.rint(array / scales.astype(np.float32)) + points, *limits[stored.type]).astype(np.int64)
    return result


def _conflict(tensor: str, node: str, kept: StoredAs, other: StoredAs) -> Diagnostic:
    return Diagnostic(
        "quantized-twice",
        "warning",
        f"{tensor!r} is quantized in two ways; scale {kept.scales[0]:.6g}, zero point {kept.zero_points[0]} is kept. Received: {other.scales[0]:.6g}, {other.zero_points[0]}.",
        "Give the tensor one QuantizeLinear.",
        node,
    )
