"""TFLite CUSTOM operators in a run: samples get what they write, the map says what they are, the files get them at the end."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace

from bridge.custom_ops import CustomCall, CutModel
from bridge.errors import UsageError
from bridge.files import write_bytes
from bridge.samples import RunSamples
from bridge.sources import OpenedModel
from bridge.tflite import custom_op
from bridge.tflite import model as tflite
from bridge.types import ConvertedModel, Diagnostic, Graph, NodeFacts, TensorMap, TensorPair

if TYPE_CHECKING:
    from bridge.report.schema import Report

FED = "what a TFLite CUSTOM operator writes; LiteRT has no kernel for it, so what lies behind was run on the values of its reference"


def user_view(opened: OpenedModel, *, input_dtype: str, output_dtype: str) -> Graph:
    """The graph with the inputs that the user feeds.

    Raises:
        UsageError: integer inputs or outputs are asked for: a CUSTOM operator reads and writes float, and so do the inputs and outputs for it.
    """
    if opened.cut is None:
        return opened.graph
    if (input_dtype, output_dtype) != ("float32", "float32"):
        raise UsageError(
            f"With TFLite CUSTOM operators inputs and outputs stay as they are. Received: input_dtype={input_dtype}, output_dtype={output_dtype}.",
            hint="Leave out --input-dtype and --output-dtype.",
        )
    return replace(opened.graph, inputs=opened.inputs)


def with_custom_values(opened: OpenedModel, data: RunSamples) -> RunSamples:
    """Samples of the model without its CUSTOM operators: what those write becomes an input."""
    if opened.cut is None:
        return data
    inputs, values = opened.graph.inputs, opened.cut.values
    return replace(data, calibration=data.calibration.extended(inputs, values), evaluation=data.evaluation.extended(inputs, values))


def with_reasons(opened: OpenedModel, converted: ConvertedModel) -> ConvertedModel:
    """The map with a reason at each tensor that a CUSTOM operator writes."""
    if opened.cut is None:
        return converted
    written, names = opened.cut.written, {call.name for call in opened.cut.calls}
    pairs = tuple(replace(pair, reason=FED) if pair.tensor in written and pair.status != "mapped" else pair for pair in converted.tensor_map.pairs)
    absorbed = {name: owners for name, owners in converted.tensor_map.absorbed.items() if name not in names}
    return replace(converted, tensor_map=replace(converted.tensor_map, pairs=pairs, absorbed=absorbed))


def with_custom_rows(opened: OpenedModel, result: "Report", nodes: Sequence[NodeFacts]) -> "Report":
    """The report with the operator, the type and the edges of every node that became a CUSTOM operator; `nodes` are the others."""
    if opened.cut is None:
        return result
    codes = {call.name: f"CUSTOM:{call.op.tflite_custom}" for call in opened.cut.calls}
    changed = {"precision": "float32", "tflite_precisions": ("float32",), "reason": "A TFLite CUSTOM operator reads and writes float."}
    rows = [row.model_copy(update={**changed, "tflite_ops": (codes[row.name],)}) if row.name in codes else row for row in result.nodes]
    links = [(node.name, [spec.name for spec in node.inputs], [spec.name for spec in node.outputs]) for node in nodes]
    from bridge.report.edges import edges

    joined = edges([*links, *((call.name, call.inputs, call.outputs) for call in opened.cut.calls)], [row.name for row in rows])
    return result.model_copy(update={"nodes": type(result.nodes)(rows), "edges": joined})


def put_in(opened: OpenedModel, tensor_map: TensorMap, files: Sequence[Path]) -> tuple[Diagnostic, ...]:
    """Writes the CUSTOM operators into the files, and says so; the files have the inputs and outputs of the user's model afterwards.

    Args:
        opened: the model.
        tensor_map: of the float file; quantized ones have their inputs and outputs in the same order.
        files: the float file, then those made of it; changed in place.
    """
    if opened.cut is None:
        return ()
    order = _in_file_order(tensor_map, tflite.read(files[0]))
    for path in files:
        model = tflite.read(path)
        _put_in(opened, opened.cut, tensor_map, order, model)
        write_bytes(path, tflite.serialize(model))
    codes = ", ".join(f"{call.op.tflite_custom} (node {call.name!r})" for call in opened.cut.calls)
    return (
        Diagnostic(
            "custom-op",
            "warning",
            f"The files hold CUSTOM operators in float32: {codes}. A runtime needs their kernels. {', '.join(sorted(_inputs_of(opened.cut)))} "
            f"and everything behind the operators was compared on the values of their references.",
            "Register the kernels with the interpreter of your device.",
        ),
    )


def _inputs_of(taken_out: CutModel) -> set[str]:
    return {name for call in taken_out.calls for name in call.inputs if name and name not in taken_out.constants}


def _put_in(opened: OpenedModel, taken_out: CutModel, tensor_map: TensorMap, order: Sequence[TensorPair], model: tflite.ModelT) -> None:
    main = tflite.main_graph(model)
    readers = {binding.onnx_name: int(index) for binding, index in zip(tensor_map.inputs, main.inputs, strict=True)}
    float_outputs = {pair.tensor: (pair, int(index)) for pair, index in zip(order, main.outputs, strict=True)}
    tensors: dict[str, int] = {}
    for name, spec in taken_out.written.items():
        tensors[name] = (
            readers[name] if name in readers else tflite.add_tensor(model, main, name, tflite.TYPES[spec.dtype], [int(size) for size in spec.shape])
        )
    for spec in opened.inputs:
        if spec.name not in readers:
            readers[spec.name] = tflite.add_tensor(model, main, spec.name, tflite.TYPES[spec.dtype], [int(size) for size in spec.shape])
    ports = {name: custom_op.Port(index, pair.permutation, pair.onnx_shape) for name, (pair, index) in float_outputs.items()}
    bindings = {binding.onnx_name: binding for binding in tensor_map.inputs}
    for spec in opened.inputs:
        axes = bindings[spec.name].permutation if spec.name in bindings else tuple(range(len(spec.shape)))
        ports[spec.name] = custom_op.Port(readers[spec.name], tuple(int(axis) for axis in np.argsort(axes)), tuple(int(size) for size in spec.shape))
    for name, spec in taken_out.written.items():
        ports[name] = custom_op.Port(tensors[name], tuple(range(len(spec.shape))), tuple(int(size) for size in spec.shape))
    custom_op.insert(model, [_node(call, ports, taken_out.constants, tensors) for call in taken_out.calls])
    ends = {name: index for name, (_, index) in float_outputs.items() if name not in _inputs_of(taken_out) or name in _user_outputs(opened)}
    ends |= {name: tensors[tensor] for name, tensor in taken_out.dropped_outputs.items()}
    tflite.set_ends(model, {spec.name: readers[spec.name] for spec in opened.inputs}, ends)


def _user_outputs(opened: OpenedModel) -> set[str]:
    """Outputs of the user's model that are left of it."""
    at_cuts = set() if opened.cut is None else opened.cut.end_names
    return {spec.name for spec in opened.graph.outputs} - at_cuts


def _in_file_order(tensor_map: TensorMap, model: tflite.ModelT) -> list[TensorPair]:
    """The outputs' pairs in the order in which the float file has them."""
    main, names = tflite.main_graph(model), {pair.tflite_tensor: pair for pair in tensor_map.outputs}
    return [names[tflite.text(main.tensors[int(index)].name)] for index in main.outputs]


def _node(
    call: CustomCall, ports: Mapping[str, custom_op.Port], constants: Mapping[str, np.ndarray], tensors: Mapping[str, int]
) -> custom_op.CustomNode:
    inputs = tuple(None if not name else custom_op.Port(None, constant=constants[name]) if name in constants else ports[name] for name in call.inputs)
    options = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in call.attributes.items()}
    return custom_op.CustomNode(call.op.tflite_custom, call.name, options, inputs, tuple(tensors[name] for name in call.outputs if name))
