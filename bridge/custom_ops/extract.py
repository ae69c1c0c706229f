"""Parts of a model between tensors."""

import difflib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx
from onnx import helper

from bridge.errors import InputError


def part_between(model: onnx.ModelProto, start: Sequence[str], end: Sequence[str]) -> onnx.ModelProto:
    """The part of a model from some tensors to others, the very object if none is named.

    Args:
        model: not changed.
        start: tensors that become inputs; where the file does not tell, they are float32 and of unknown shape. Model inputs that the part still needs
            stay.
        end: tensors that become the outputs; the model's own without any.

    Raises:
        InputError: the model has no such tensor, or nothing between them needs one of `start`.
    """
    if not start and not end:
        return model
    known = known_types(model)
    written = {name for node in model.graph.node for name in node.output if name} | {value.name for value in model.graph.input}
    for name in (*start, *end):
        if name not in written:
            near = difflib.get_close_matches(name, written, n=3)
            raise InputError(f"The model has no tensor {name!r}.", hint=f"Did you mean {', '.join(near)}?" if near else "Netron shows the names.")
    outputs = [known.get(name, onnx.ValueInfoProto(name=name)) for name in end] or list(model.graph.output)
    fed = {name: known.get(name) or helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in start}
    part = extract(model, model.graph.node, [value.name for value in outputs], fed, outputs)
    left = {value.name for value in part.graph.input}
    unread = [name for name in start if name not in left]
    if unread:
        raise InputError(
            f"Nothing that leads to {', '.join(value.name for value in outputs)} needs {', '.join(map(repr, unread))}.",
            hint="Leave it out of --from.",
        )
    return part


def known_types(model: onnx.ModelProto) -> dict[str, onnx.ValueInfoProto]:
    """Tensors whose type the file tells or onnx infers; a custom operator hides what is behind it."""
    graph = onnx.shape_inference.infer_shapes(model).graph if model.ByteSize() < MAX_INFERRED_BYTES else model.graph
    return {value.name: value for value in (*graph.value_info, *graph.input, *graph.output) if value.type.tensor_type.elem_type}


MAX_INFERRED_BYTES = 1 << 30  # inference copies the model twice


def extract(
    model: onnx.ModelProto,
    nodes: Sequence[onnx.NodeProto],
    wanted: Iterable[str],
    fed: Mapping[str, onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
) -> onnx.ModelProto:
    """What computes `wanted` from the model's inputs and `fed`; weights are copied only where they are read.

    Args:
        model: without the tensors `fed` among its inputs.
        nodes: those of its main graph that may be used.
        wanted: names of tensors.
        fed: inputs of the part, as far as it reads them.
        outputs: of the part.
    """
    producers = {name: node for node in nodes for name in node.output if name}
    kept: set[int] = set()
    read: set[str] = set()
    queue = list(wanted)
    while queue:
        name = queue.pop()
        if name in read:
            continue
        read.add(name)
        node = producers.get(name)
        if node is not None and name not in fed and id(node) not in kept:
            kept.add(id(node))
            queue += [*node.input, *outer_reads(node)]
    part = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    part.graph.name = model.graph.name or "part"
    part.graph.node.extend(node for node in nodes if id(node) in kept)
    part.graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name in read)
    own = {value.name: value for value in model.graph.input}
    given = {tensor.name for tensor in part.graph.initializer}
    part.graph.input.extend(value for name, value in own.items() if name in read and name not in given)
    part.graph.input.extend(value for name, value in fed.items() if name in read and name not in own and name not in given)
    part.graph.output.extend(outputs)
    return part


def outer_reads(node: onnx.NodeProto) -> list[str]:
    """What branches and bodies of a node read; their own names among it do no harm, for nothing outside writes them."""
    graphs = [graph for attribute in node.attribute for graph in (attribute.g, *attribute.graphs)]
    inner = [each for graph in graphs for each in graph.node]
    return [value.name for graph in graphs for value in graph.output] + [name for each in inner for name in (*each.input, *outer_reads(each))]


def value_info(name: str, array: np.ndarray) -> onnx.ValueInfoProto:
    """The declaration of a tensor like `array`."""
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
