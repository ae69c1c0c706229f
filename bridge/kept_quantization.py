"""Brings what a quantized ONNX model says about itself down to the TFLite file: integer kernels where it has them, with its own scales."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from bridge.changes import ChangedModel
from bridge.grid import grid_scale
from bridge.quantize import Corrections
from bridge.quantize.forms import LIMITS, Form
from bridge.quantize.op_table import OPS, OpRow, Role, Scales
from bridge.rules import Applied
from bridge.tflite import model as tflite
from bridge.types import ConvertedModel, Decision, Diagnostic, NodeFacts, QuantizedModel, QuantizedSource, Ranges, StoredAs, TensorRange

PRECISIONS = {"INT8": "static_wi8_ai8", "INT16": "static_wi8_ai16"}
SOURCE = "the quantization of the model itself"
NAMED = 5  # tensors in one message


class Given(Struct, frozen=True, eq=False):
    """What the quantizer has to keep.

    Attributes:
        forms: of activations and constant operands, by TFLite tensor name.
        weights: the scales of weights.
        asymmetric: nodes whose weight has a zero point in the file.
    """

    forms: Mapping[str, Form]
    weights: Corrections
    asymmetric: tuple[str, ...] = ()


def decide(applied: Applied, source: QuantizedSource | None, nodes: Sequence[NodeFacts]) -> Applied:
    """Every node as the file has it, whatever rules say: integer where all nodes that it stands for are; what rules say for a float file."""
    if source is None:
        return applied
    return Applied(MappingProxyType({node.name: decision(node, source) for node in nodes}), outcomes=())


def decision(node: NodeFacts, source: QuantizedSource) -> Decision:
    """That of one node: what the file says, and no rule."""
    outside = [name for name in node.origins if name not in source.integer_nodes]
    if outside:
        return Decision(node.name, "float32", None, None, None, f"the file leaves {outside[0]!r} float")
    types = {source.activations[spec.name].type for spec in (*node.outputs, *node.inputs) if spec.name in source.activations}
    precision = PRECISIONS["INT16" if "INT16" in types else "INT8"]
    return Decision(node.name, precision, None, None, None, "the file quantizes it")


def expected_differences(changed: ChangedModel, source: QuantizedSource | None) -> ChangedModel:
    """A quantized model rounds where the float file inside of it does not: all its values differ by design."""
    if source is None:
        return changed
    names = (name for node in changed.graph.nodes for name in (node.name, *node.origins))
    return replace(changed, downstream=frozenset(names))


def given_forms(converted: ConvertedModel, source: QuantizedSource | None, nodes: Sequence[NodeFacts]) -> tuple[Ranges | None, Given]:
    """The ranges and the scales that the file gives to the tensors and weights of the float TFLite file; none for a float file."""
    if source is None:
        return None, Given(MappingProxyType({}), Corrections())
    model = tflite.read(converted.path)
    graph = tflite.main_graph(model)
    mapped = {pair.tensor: pair.tflite_tensor for pair in (*converted.tensor_map.pairs, *converted.tensor_map.outputs) if pair.tflite_tensor}
    mapped |= {binding.onnx_name: binding.tflite_name for binding in converted.tensor_map.inputs}
    forms = {mapped[tensor]: _form(stored) for tensor, stored in source.activations.items() if tensor in mapped}
    parts = _parts(converted, nodes)
    weights: dict[int, np.ndarray] = {}
    asymmetric: dict[str, None] = {}
    for index, (operator, owner) in enumerate(zip(graph.operators, converted.tensor_map.owners, strict=True)):
        row = OPS.get(tflite.op_name(model, operator))
        stored = next((source.weights[name] for name in parts[owner] if name in source.weights), None)
        if row is None or (stored is None and source.integer_nodes.isdisjoint(parts[owner])):
            continue
        for role, tensor in _constants(model, operator, row):
            if role is Role.WEIGHT and stored is not None and any(stored.zero_points):
                asymmetric[owner] = None
            elif role is Role.WEIGHT and (scales := _weight_scales(model, tensor, row.weight_axis, stored)) is not None:
                weights[index] = scales
            elif role is Role.DATA and stored is not None and len(stored.scales) == 1:
                forms[tflite.text(tensor.name)] = _form(stored)
    ranges = Ranges(_spans(model, forms), samples=0, source=SOURCE, model_sha256=converted.sha256, observer="none")
    return ranges, Given(MappingProxyType(forms), Corrections(weight_scales=MappingProxyType(weights)), tuple(asymmetric))


def _constants(model: tflite.ModelT, operator: tflite.OperatorT, row: OpRow) -> Iterator[tuple[Role, tflite.TensorT]]:
    """The float constants that an operator reads."""
    tensors = tflite.main_graph(model).tensors
    for position, index in enumerate(operator.inputs):
        if index >= 0 and tflite.is_constant(model, tensors[index]) and tflite.dtype(tensors[index]) == np.float32:
            yield row.input_role(position), tensors[index]


def _weight_scales(model: tflite.ModelT, tensor: tflite.TensorT, axis: int, stored: StoredAs | None) -> np.ndarray | None:
    """[channels] of the file, or those on whose multiples the weights lie; None where there are neither."""
    if stored is None:
        return grid_scale(tflite.constant(model, tensor), axis)
    channels = tflite.shape(tensor)[axis]
    if len(stored.scales) not in (1, channels):
        return None
    return np.broadcast_to(np.asarray(stored.scales, np.float32), (channels,)).copy()


def _parts(converted: ConvertedModel, nodes: Sequence[NodeFacts]) -> dict[str, list[str]]:
    """Owner of operators -> the nodes of the user's file that it stands for, and those of nodes that it took in (a Conv, the Relu behind it being the owner)."""
    origins = {node.name: node.origins for node in nodes}
    found = {owner: [owner, *origins.get(owner, ())] for owner in converted.tensor_map.owners}
    for node, owners in converted.tensor_map.absorbed.items():
        for owner in owners:
            found.setdefault(owner, [owner]).extend((node, *origins.get(node, ())))
    return found


def _spans(model: tflite.ModelT, forms: Mapping[str, Form]) -> Mapping[str, TensorRange]:
    """What the forms hold; an operator that only moves data hands the range of its input on."""
    graph = tflite.main_graph(model)
    spans = {name: _span(form) for name, form in forms.items()}
    for operator in graph.operators:
        row = OPS.get(tflite.op_name(model, operator))
        if row is not None and row.scales is Scales.INHERIT:
            names = [tflite.text(graph.tensors[index].name) for index in (*operator.inputs, *operator.outputs) if index >= 0]
            known = next((spans[name] for name in names if name in spans), None)
            if known is not None:
                spans |= {
                    tflite.text(graph.tensors[index].name): known for index in operator.outputs if tflite.text(graph.tensors[index].name) not in spans
                }
    return MappingProxyType(spans)


def findings(source: QuantizedSource | None, given: Given, quantized: QuantizedModel) -> tuple[Diagnostic, ...]:
    """What of the file's quantization is in the TFLite file, read from that file, and what its kernels did not allow."""
    if source is None:
        return ()
    written = tflite.read(quantized.path)
    stored = {tflite.text(tensor.name): tensor for tensor in tflite.main_graph(written).tensors}
    kept: list[str] = []
    changed: list[str] = []
    for name, form in given.forms.items():
        tensor = next((one for one in (stored.get(name), stored.get(f"{name}_{form.type.lower()}")) if one is not None and _is_integer(one)), None)
        if tensor is None:
            continue
        same = np.array_equal(np.asarray(tensor.quantization.scale, np.float32), np.asarray(form.scales, np.float32))
        (kept if same and list(tensor.quantization.zeroPoint) == list(form.zero_points) else changed).append(name)
    float_nodes = sum(op.precision == "float32" for op in quantized.ops)
    message = (
        f"The model is quantized: {len(source.integer_nodes)} nodes compute on integers in it. {len(kept)} activations and "
        f"{len(given.weights.weight_scales)} weights have its scales, {float_nodes} of {len(quantized.ops)} operators are float. Rules and recovery do not apply."
    )
    found = [*source.diagnostics, Diagnostic("quantized-model", "info", message)]
    if changed:
        more = f" and {len(changed) - NAMED} more" if len(changed) > NAMED else ""
        found.append(
            Diagnostic(
                "scale-not-kept",
                "warning",
                f"{len(changed)} tensors have another scale than in the file: {', '.join(changed[:NAMED])}{more}. "
                "Their kernels want the scale of their input, a fixed one, or zero point 0.",
                "Quantize both sides of a MaxPool, Reshape or Softmax alike in the tool that made the file.",
            )
        )
    lost = given.asymmetric
    if lost:
        found.append(
            Diagnostic(
                "asymmetric-weights",
                "warning",
                f"{len(lost)} weights have a zero point: {', '.join(lost[:NAMED])}. TFLite's kernels know symmetric weights only, so they were quantized again.",
                "Quantize weights symmetrically.",
            )
        )
    return tuple(found)


def _is_integer(tensor: tflite.TensorT) -> bool:
    return tflite.dtype(tensor).kind == "i" and tensor.quantization is not None and tensor.quantization.scale is not None


def _form(stored: StoredAs) -> Form:
    return Form(stored.type, stored.scales, stored.zero_points)


def _span(form: Form) -> TensorRange:
    low, high = LIMITS[form.type]
    return TensorRange((low - form.zero_point) * form.scale, (high - form.zero_point) * form.scale)
