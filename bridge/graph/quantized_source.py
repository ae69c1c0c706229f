"""Models that hold QuantizeLinear and DequantizeLinear: the float model inside, and what the file says about how it is stored.

Source: ONNX operators QuantizeLinear and DequantizeLinear, opset 10 to 23 (per tensor, per axis).
"""

from collections.abc import Iterator

import numpy as np
import onnx
import onnx_ir as ir
from msgspec import Struct, field
from msgspec.structs import replace

from bridge.graph import provenance
from bridge.graph.folding import fold_constants
from bridge.graph.integer_operators import expansion_of, spell_out
from bridge.graph.quantization_parameters import (
    DEQUANTIZE,
    LIMITS,
    QUANTIZE,
    begins_at_zero,
    constant,
    is_operator,
    quantized,
    real,
    signed,
    stored_as,
)
from bridge.graph.source_nodes import list_nodes, module_classes, name_nodes
from bridge.graph.values import new_constant
from bridge.types import Diagnostic, Graph, QuantizedSource, SourceNode, StoredAs

# An activation that a kernel takes in: the value between it and the operator before it exists in no TFLite file.
FUSED = frozenset({"Relu", "Clip"})
CLIPS = frozenset({"Clip", "Max", "Min"})
# What has the values of its input: as integer as that.
MOVING = frozenset({"Flatten", "Identity", "MaxPool", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"})
POSITIVE = frozenset({"Abs", "Exp", "HardSigmoid", "Relu", "Sigmoid", "Softmax"})
KEPT_FLOAT = "bridge.qat.torch_kept_float.KeptFloat"  # the class of a torch module: what is in it is float whatever is around it
SUMS = frozenset({"AveragePool", "Concat", "GlobalAveragePool", "GlobalMaxPool", "ReduceMax", "ReduceMean"})  # of positive values positive


class _Reader(Struct):
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
        for node in [node for node in self.graph if is_operator(node, DEQUANTIZE)]:
            source = node.inputs[0]
            producer = None if source is None else source.producer()
            if source is None:
                continue
            if constant(source) is not None:
                self._fold(node, constant(source))
            elif producer is not None and is_operator(producer, QUANTIZE) and producer.inputs[0] is not None:
                self._pair(producer, node)
        for node in [node for node in self.graph if is_operator(node, QUANTIZE)]:
            if not node.outputs[0].uses() and not node.outputs[0].is_graph_output():
                self.graph.remove(node, safe=True)

    def _move_in_front(self, node: ir.Node) -> None:
        """What moves integers moves the float values instead, and a QuantizeLinear of the same form follows."""
        quantize = None if node.inputs[0] is None else node.inputs[0].producer()
        stored, value = (None, None) if quantize is None or not is_operator(quantize, QUANTIZE) else (stored_as(quantize), quantize.inputs[0])
        if quantize is None or stored is None or value is None or len(stored.scales) > 1:
            return
        self.activations.setdefault(value, signed(stored))
        moved = node.outputs[0]
        again = ir.node(QUANTIZE, [moved, *quantize.inputs[1:]])
        again.name = f"{node.name}.{QUANTIZE}"
        provenance.stamp(again, again.name)
        again.outputs[0].shape, again.outputs[0].type = moved.shape, moved.type
        ir.convenience.replace_all_uses_with(moved, again.outputs[0], replace_graph_outputs=True)
        again.replace_input_with(0, moved)
        node.replace_input_with(0, value)
        moved.type = ir.TensorType(ir.DataType.FLOAT)
        self.graph.insert_after(node, again)

    def _pair(self, quantize: ir.Node, dequantize: ir.Node) -> None:
        value, stored = quantize.inputs[0], stored_as(quantize)
        if value is None or stored is None or stored != stored_as(dequantize):
            return
        value = _without_saturation(value, stored)
        array = constant(value)
        if array is not None:
            self._fold(dequantize, quantized(array.astype(np.float32), stored))
            return
        if value not in self.stand_ins:
            self.stand_ins[value] = self._stand_in(value, stored, quantize, dequantize)
        stand_in = self.stand_ins[value]
        known = self.activations.setdefault(stand_in, signed(stored))
        if known != signed(stored):
            self.findings.append(_conflict(str(value.name), provenance.name(quantize), known, signed(stored)))
        self._replace(dequantize, stand_in)

    def _stand_in(self, value: ir.Value, stored: StoredAs, quantize: ir.Node, dequantize: ir.Node) -> ir.Value:
        """The float value under the name of the quantized one, so that comparisons see what the file computes with.

        A range that begins at zero is a Relu: onnxruntime's quantizer leaves the operator out where saturation does the same.
        """
        name = dequantize.outputs[0].name
        if begins_at_zero(signed(stored)) and not self._is_positive(value):
            relu = ir.node("Relu", [value])
            relu.name = f"{quantize.name}.Relu"
            provenance.stamp(relu, relu.name)
            result = relu.outputs[0]
            result.name, result.shape, result.type = name, value.shape, value.type or ir.TensorType(ir.DataType.FLOAT)
            self.graph.insert_before(quantize, relu)
            return result
        if value.producer() is not None and not value.is_graph_output() and all(is_operator(use.node, QUANTIZE) for use in value.uses()):
            value.name = name
        return value

    def _is_positive(self, value: ir.Value) -> bool:
        """Whether it cannot be negative anyhow; of a model input nobody knows, and its saturation is the user's."""
        producer = value.producer()
        if producer is None or producer.op_type in POSITIVE:
            return True
        if producer.op_type == "Clip":
            lowest = constant(producer.inputs[1]) if len(producer.inputs) > 1 else None
            return lowest is not None and float(lowest.reshape(-1)[0]) >= 0.0
        if producer.op_type not in MOVING | SUMS:
            return False
        operands = [operand for operand in producer.inputs if operand is not None and constant(operand) is None]
        return all((operand in self.activations and begins_at_zero(self.activations[operand])) or self._is_positive(operand) for operand in operands)

    def _fold(self, node: ir.Node, array: np.ndarray | None) -> None:
        stored = stored_as(node)
        if array is None or stored is None:
            return
        self._put_constant(node, array, stored)

    def _put_constant(self, node: ir.Node, array: np.ndarray, stored: StoredAs) -> None:
        """The real values in place of what a node writes, and of every Transpose of that: a Linear over tokens turns its weight."""
        value = new_constant(self.graph, f"{node.outputs[0].name}_real", real(array, stored))
        self.weights[value] = signed(stored)
        turns = [use.node for use in node.outputs[0].uses() if is_operator(use.node, "Transpose")]
        self._replace(node, value)
        for turn in turns:
            order = turn.attributes.get_ints("perm", list(range(array.ndim))[::-1])
            self._put_constant(turn, array.transpose(order), replace(stored, axis=list(order).index(stored.axis % array.ndim)))

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


class SplitModel(Struct, frozen=True, eq=False):
    """A quantized model in its parts.

    Attributes:
        inside: the float model inside of it, with the tensors' names.
        whole: the quantized model, with float operators between Q and DQ where it has operators on integers, so that it shows the tensors of `inside`.
        said: what the file says of tensors and nodes.
        nodes: all nodes of the user's file, in its order.
    """

    inside: onnx.ModelProto
    whole: onnx.ModelProto
    said: QuantizedSource
    nodes: tuple[SourceNode, ...]

    def with_all_nodes(self, normal: Graph) -> Graph:
        """The normalised `inside` with a row for every node of the user's file, also for those that became the form of a tensor."""
        inside = {node.name: node for node in normal.source_nodes}
        rows = [inside.get(node.name) or _taken_out(node) for node in self.nodes]
        named = {node.name for node in rows}
        return replace(normal, source_nodes=(*rows, *(node for node in normal.source_nodes if node.name not in named)))


def split_quantization(proto: onnx.ModelProto) -> SplitModel | None:
    """The parts of a quantized model, None for a float one.

    A node is an integer one where every activation that it reads comes from a DequantizeLinear and what it writes goes to a QuantizeLinear,
    perhaps behind a Relu or Clip that its kernel takes in, or where it only moves integer data.
    """
    if not is_quantized(proto):
        return None
    model = ir.from_proto(proto)
    name_nodes(model.graph)
    nodes = list_nodes(model)
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
    return SplitModel(ir.to_proto(model), whole, source, nodes)


def _taken_out(node: SourceNode) -> SourceNode:
    form = node.op_type in (QUANTIZE, DEQUANTIZE)
    return replace(node, status="folded", into=None, reason="became the form of a tensor" if form else "computed before the model runs")


def is_quantized(proto: onnx.ModelProto) -> bool:
    """Whether a model has quantization of its own."""
    return any(_is_quantized(node) for node in proto.graph.node)


def _is_quantized(node: onnx.NodeProto) -> bool:
    return (node.op_type == DEQUANTIZE and node.domain in ("", "ai.onnx")) or expansion_of(node.domain, node.op_type) is not None


def _integer_nodes(graph: ir.Graph, activations: dict[ir.Value, StoredAs]) -> Iterator[ir.Node]:
    found: set[ir.Value] = set(activations)
    for node in graph:
        inputs = [value for value in node.inputs if value is not None and constant(value) is None]
        if not inputs or not all(value in found for value in inputs) or module_classes(node)[-1:] == (KEPT_FLOAT,):
            continue
        if node.op_type in MOVING or all(_stays_integer(value, activations) for value in node.outputs):
            found.update(node.outputs)
            yield node


def _stays_integer(value: ir.Value, activations: dict[ir.Value, StoredAs]) -> bool:
    """Whether the value is quantized at once, or behind what the kernel takes in and nothing else reads."""
    while value not in activations:
        users = [use.node for use in value.uses()]
        if len(users) != 1 or value.is_graph_output() or not _is_taken_in(value.producer(), users[0]):
            return False
        value = users[0].outputs[0]
    return True


def _is_taken_in(node: ir.Node | None, user: ir.Node) -> bool:
    """Whether one kernel computes both: an activation, or the bias of a matrix product."""
    bias = is_operator(node, "MatMul") and is_operator(user, "Add") and any(constant(operand) is not None for operand in user.inputs)
    return bias or user.op_type in FUSED


def _without_saturation(value: ir.Value, stored: StoredAs) -> ir.Value:
    """What is clipped to the range that QuantizeLinear saturates to anyhow, or to one step less: fake quantization to -127 .. 127 comes so.

    The int8 file then stores -128 where the model stores -127.
    """
    low, high = LIMITS[stored.type]
    step, point = stored.scales[0], stored.zero_points[0]
    bounds = ((low - point) * step, (high - point) * step)
    producer = value.producer()
    while len(stored.scales) == 1 and producer is not None and producer.op_type in CLIPS and producer.inputs[0] is not None:
        limits = [constant(operand) for operand in producer.inputs[1:] if operand is not None]
        numbers = [float(limit.reshape(-1)[0]) for limit in limits if limit is not None and limit.size == 1]
        if len(numbers) != len(producer.inputs) - 1 or any(min(abs(number - bound) for bound in bounds) > 1.5 * step for number in numbers):
            break
        value = producer.inputs[0]
        producer = value.producer()
    return value


def _conflict(tensor: str, node: str, kept: StoredAs, other: StoredAs) -> Diagnostic:
    return Diagnostic(
        "quantized-twice",
        "warning",
        f"{tensor!r} is quantized in two ways; scale {kept.scales[0]:.6g}, zero point {kept.zero_points[0]} is kept. Received: {other.scales[0]:.6g}, {other.zero_points[0]}.",
        "Give the tensor one QuantizeLinear.",
        node,
    )
