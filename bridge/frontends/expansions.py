"""Refuses an Expand to very many axes before onnx's shape inference, which up to opset 12 makes all of them, uses up the memory."""

import contextlib
import math
import threading
from collections.abc import Iterable, Iterator

import onnx

from bridge.errors import InputError
from bridge.limits import MAX_AXES

MENDED = 13  # the opset from which on a long target is left alone
DOMAIN = "bridge.probe"  # its Expand is that of opset 13, and tells how long each target is
STORED_ELEMENTS = 4096  # of a constant that can be a shape, or part of one
_HINT = "The file is damaged or its exporter is broken; onnx.checker.check_model(path) says more."

_lock = threading.Lock()
_lengths: list[int] = []


def check_expansions(model: onnx.ModelProto, *, where: str) -> None:
    """Refuses a model whose Expand has a target of more than `MAX_AXES` axes, whether that is declared or computed.

    Args:
        model: external data loaded.
        where: the file, for messages.

    Raises:
        InputError: says how many axes.
    """
    old = any(entry.domain in ("", "ai.onnx") and entry.version < MENDED for holder in (model, *model.functions) for entry in holder.opset_import)
    if not old or not any(node.op_type == "Expand" for holder in (model.graph, *model.functions) for node in every_node(holder.node)):
        return
    try:
        probe = _probe(model)
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: a tensor has a name that is no text.", hint=_HINT, code="model-invalid") from error
    with _lock, contextlib.suppress(onnx.shape_inference.InferenceError, RuntimeError, ValueError):  # a model with more wrong than that: said later
        _lengths.clear()
        _register()
        onnx.shape_inference.infer_shapes(probe)
    longest = max(_lengths, default=0)
    if longest > MAX_AXES:
        raise InputError(
            f"{where}: the target shape of an Expand has {longest} axes; at most {MAX_AXES} are taken.",
            hint=_HINT,
            code="model-invalid",
        )


def every_node(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Also those of subgraphs."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from every_node(graph.node)


def _probe(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without its large constants, with the probe in place of every Expand."""
    probe = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    graph, source = probe.graph, model.graph
    graph.name = "probe"
    graph.node.extend(source.node)
    graph.input.extend(source.input)
    graph.output.extend(source.output)
    graph.value_info.extend(source.value_info)
    fed = {value.name for value in source.input}
    for tensor in source.initializer:
        if math.prod(tensor.dims) <= STORED_ELEMENTS:
            graph.initializer.append(tensor)
        elif tensor.name not in fed:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    for holder in (probe, *probe.functions):
        holder.opset_import.append(onnx.helper.make_opsetid(DOMAIN, 1))
    for nodes in (graph.node, *(function.node for function in probe.functions)):
        for node in every_node(nodes):
            if node.op_type == "Expand" and node.domain in ("", "ai.onnx"):
                node.domain = DOMAIN
    return probe


def _register() -> None:
    """Tells onnx the probe, once."""
    if onnx.defs.has("Expand", 1, DOMAIN):
        return
    expand = onnx.defs.get_schema("Expand", MENDED, "")
    schema = onnx.defs.OpSchema(
        "Expand",
        DOMAIN,
        1,
        inputs=expand.inputs,
        outputs=expand.outputs,
        type_constraints=[(one.type_param_str, one.allowed_type_strs, one.description) for one in expand.type_constraints],
    )
    infer = expand.get_type_and_shape_inference_function()

    def told(context: onnx.shape_inference.InferenceContext) -> None:
        target = context.get_input_type(1) if context.get_num_inputs() > 1 else None
        if target is not None and len(target.tensor_type.shape.dim) == 1:
            _lengths.append(target.tensor_type.shape.dim[0].dim_value)
        infer(context)

    schema.set_type_and_shape_inference_function(told)
    onnx.defs.register_schema(schema)
