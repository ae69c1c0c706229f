"""What must hold in a model before anything computes with it: every tensor has its bytes, every node reads what an earlier one wrote.

`onnx.checker` checks more, but it serializes the whole model (2 GB limit) and also refuses operators that can be named one by one later.
"""

import functools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from types import MappingProxyType

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.external_data_helper import uses_external_data
from onnx.helper import tensor_dtype_to_np_dtype

from bridge.errors import InputError, UnsupportedModelError
from bridge.frontends.expansions import check_expansions, every_node
from bridge.large_weights import data_of, size_of
from bridge.limits import MAX_NODES

_FLOATS = MappingProxyType({onnx.TensorProto.FLOAT: "<f4", onnx.TensorProto.DOUBLE: "<f8", onnx.TensorProto.FLOAT16: "<f2"})
_KINDS = onnx.AttributeProto
_FIELD_OF_TYPE = MappingProxyType(
    {
        _KINDS.FLOAT: "f", _KINDS.INT: "i", _KINDS.STRING: "s", _KINDS.TENSOR: "t", _KINDS.GRAPH: "g", _KINDS.SPARSE_TENSOR: "sparse_tensor",
        _KINDS.TYPE_PROTO: "tp", _KINDS.FLOATS: "floats", _KINDS.INTS: "ints", _KINDS.STRINGS: "strings", _KINDS.TENSORS: "tensors",
        _KINDS.GRAPHS: "graphs", _KINDS.SPARSE_TENSORS: "sparse_tensors", _KINDS.TYPE_PROTOS: "type_protos",
    }
)  # fmt: skip
_VALUE_FIELDS = frozenset(_FIELD_OF_TYPE.values())
_HALF_BYTE_TYPES = frozenset({onnx.TensorProto.INT4, onnx.TensorProto.UINT4, onnx.TensorProto.FLOAT4E2M1})
_DATA_TYPES = frozenset(onnx.TensorProto.DataType.values())
_TYPED_FIELDS = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")
_CONSTANT_VALUES = frozenset(onnx.defs.get_schema("Constant").attributes)
_COMPLEX = frozenset({onnx.TensorProto.COMPLEX64, onnx.TensorProto.COMPLEX128})
_HINT = "The file is damaged or its exporter is broken; onnx.checker.check_model(path) says more."


def check_structure(model: onnx.ModelProto, *, where: str) -> None:
    """Refuses damaged models.

    Args:
        model: external data loaded.
        where: the file, for messages.

    Raises:
        InputError: the first thing that is wrong.
    """
    known = onnx.defs.onnx_opset_version()
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx") and not 1 <= entry.version <= known:
            raise InputError(
                f"{where}: is written for opset {entry.version}, this onnx {onnx.__version__} knows 1 to {known}.",
                hint="Install a newer onnx, or export the model with an older opset.",
                code="model-invalid",
            )
    count = sum(1 for _ in every_node([*model.graph.node, *(node for function in model.functions for node in function.node)]))
    if count > MAX_NODES:
        raise UnsupportedModelError(f"{where}: has {count} nodes; at most {MAX_NODES} are taken.", causes=["too-large"])
    for what, names in (("inputs", model.graph.input), ("outputs", model.graph.output), ("initializers", model.graph.initializer)):
        twice = next((name for name, times in Counter(one.name for one in names).items() if times > 1), None)
        if twice is not None:
            raise InputError(f"{where}: two {what} are called {twice!r}.", hint=_HINT, code="model-invalid")
    for tensor in tensors(model):
        _check_tensor(tensor, where)
    for value in model.graph.input:
        kind = value.type.tensor_type.elem_type
        if value.type.HasField("tensor_type") and (kind not in _DATA_TYPES or kind == onnx.TensorProto.UNDEFINED):
            raise InputError(f"{where}: input {value.name!r} has no data type that ONNX knows. Received: {kind}.", hint=_HINT, code="model-invalid")
    _check_graph(model.graph, frozenset(), where)
    _check_counts(model.graph.node, model.opset_import, where)
    for function in model.functions:
        _check_nodes(function.node, set(function.input), function.output, where)
        _check_counts(function.node, function.opset_import, where)
    check_expansions(model, where=where)


def tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor of the model, also in attributes, subgraphs and functions."""
    yield from _graph_tensors(model.graph)
    for function in model.functions:
        yield from _node_tensors(function.node)


def refuse_nan(model: onnx.ModelProto, *, where: str) -> None:
    """Refuses weights that are no numbers, as a training that diverged leaves them; infinity has its uses, in masks.

    Raises:
        InputError: names the first such weight.
    """
    for tensor in model.graph.initializer:
        dtype = _FLOATS.get(tensor.data_type)
        if dtype is None:
            continue
        data = data_of(model, tensor)
        values = numpy_helper.to_array(tensor) if data is None else data.view(dtype)
        with np.errstate(invalid="ignore"):
            lowest = values.min() if values.size else 0.0
        if np.isnan(lowest):  # as the minimum is where one value is; to ask that needs no copy
            count = int(np.isnan(values).sum())
            raise InputError(
                f"{where}: weight {tensor.name!r} holds NaN, in {count} of {values.size} values.",
                hint="The training diverged, or the file is damaged: go back to a checkpoint whose loss was a number.",
                code="model-invalid",
            )


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _node_tensors(graph.node)


def _node_tensors(nodes: Sequence[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for graph in _graphs(attribute):
                yield from _graph_tensors(graph)


def _graphs(attribute: onnx.AttributeProto) -> list[onnx.GraphProto]:
    return [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def _check_tensor(tensor: onnx.TensorProto, where: str) -> None:
    about = f"{where}: tensor {tensor.name!r}"
    if tensor.data_type not in _DATA_TYPES or tensor.data_type == onnx.TensorProto.UNDEFINED:
        raise InputError(f"{about} has no data type that ONNX knows. Received: {tensor.data_type}.", hint=_HINT, code="model-invalid")
    if any(size < 0 for size in tensor.dims):
        raise InputError(f"{about} has a negative size. Received: {list(tensor.dims)}.", hint=_HINT, code="model-invalid")
    count = math.prod(tensor.dims)
    if uses_external_data(tensor):  # which are set aside
        wanted, received, unit = _bytes(tensor.data_type, count), size_of(tensor), "bytes"
    elif tensor.HasField("raw_data") and tensor.data_type != onnx.TensorProto.STRING:
        wanted, received, unit = _bytes(tensor.data_type, count), len(tensor.raw_data), "bytes"
    else:
        received, unit = max(len(getattr(tensor, field)) for field in _TYPED_FIELDS), "elements"
        wanted = (count + 1) // 2 if tensor.data_type in _HALF_BYTE_TYPES else count * (2 if tensor.data_type in _COMPLEX else 1)
    if wanted != received:
        raise InputError(f"{about} of shape {list(tensor.dims)} needs {wanted} {unit}. Received: {received}.", hint=_HINT, code="model-invalid")


def _bytes(data_type: int, count: int) -> int:
    return (count + 1) // 2 if data_type in _HALF_BYTE_TYPES else count * int(tensor_dtype_to_np_dtype(data_type).itemsize)


def _check_graph(graph: onnx.GraphProto, outer: frozenset[str], where: str) -> None:
    for value in (*graph.input, *graph.output, *graph.value_info):
        unknown = [kind for kind in _element_types(value.type) if kind not in _DATA_TYPES]
        if unknown:
            raise InputError(f"{where}: {value.name!r} has no data type that ONNX knows. Received: {unknown[0]}.", hint=_HINT, code="model-invalid")
    known = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    known |= {sparse.values.name for sparse in graph.sparse_initializer}
    _check_nodes(graph.node, known | outer, [value.name for value in graph.output], where)


def _element_types(kind: onnx.TypeProto) -> Iterator[int]:
    yield from (kind.tensor_type.elem_type, kind.sparse_tensor_type.elem_type)
    for holder in ("sequence_type", "optional_type"):
        if kind.HasField(holder):
            yield from _element_types(getattr(kind, holder).elem_type)


def _check_counts(nodes: Iterable[onnx.NodeProto], imports: Iterable[onnx.OperatorSetIdProto], where: str) -> None:
    """Every node of a standard operator has the inputs that it cannot do without, every Constant its one value."""
    version = next((entry.version for entry in imports if entry.domain in ("", "ai.onnx")), onnx.defs.onnx_opset_version())
    for node in every_node(nodes):
        least = _least_inputs(node.op_type, version) if node.domain in ("", "ai.onnx") else 0
        if len(node.input) < least:
            raise InputError(
                f"{where}: node {node.name or node.op_type!r} ({node.op_type}) has {len(node.input)} inputs, it needs at least {least}.",
                hint=_HINT,
                code="model-invalid",
            )
        held = [attribute.name for attribute in node.attribute]
        if node.op_type == "Constant" and node.domain in ("", "ai.onnx") and not (len(held) == 1 and held[0] in _CONSTANT_VALUES):
            raise InputError(
                f"{where}: node {node.name or node.op_type!r} (Constant) needs one value. Received: {', '.join(map(repr, held)) or 'none'}.",
                hint=_HINT,
                code="model-invalid",
            )


@functools.cache
def _least_inputs(op_type: str, version: int) -> int:
    """By the opset, or by the newest for an operator that the opset does not have yet; 0 for one that ONNX does not know."""
    for newest in (version, onnx.defs.onnx_opset_version()):
        if onnx.defs.has(op_type, newest, ""):
            return int(onnx.defs.get_schema(op_type, newest, "").min_input)
    return 0


def _check_nodes(nodes: Sequence[onnx.NodeProto], known: set[str], outputs: Sequence[str], where: str) -> None:
    """Follows the nodes in order; `known` grows by what they write."""
    known = known | {""}
    for position, node in enumerate(nodes):
        about = f"{where}: node {node.name or f'{node.op_type}_{position}'!r}"
        if not all(isinstance(text, str) for text in (node.name, node.op_type, node.domain, *node.input, *node.output)):
            raise InputError(f"{about} has a name that is no text.", hint=_HINT, code="model-invalid")  # bytes that are no UTF-8
        missing = next((name for name in node.input if name not in known), None)
        if missing is not None:
            raise InputError(f"{about} reads {missing!r}, which neither the model nor an earlier node gives.", hint=_HINT, code="model-invalid")
        for attribute in node.attribute:
            held = {field.name for field, _ in attribute.ListFields()} & _VALUE_FIELDS
            if attribute.type not in _FIELD_OF_TYPE and not attribute.ref_attr_name:
                raise InputError(f"{about} has the attribute {attribute.name!r} without a type.", hint=_HINT, code="model-invalid")
            if attribute.type in _FIELD_OF_TYPE and held - {_FIELD_OF_TYPE[attribute.type]}:  # onnx's version converter crashes on such a file
                raise InputError(
                    f"{about} has the attribute {attribute.name!r} with a value of another type than its own.", hint=_HINT, code="model-invalid"
                )
            for graph in _graphs(attribute):
                _check_graph(graph, frozenset(known), where)
        twice = next((name for name in node.output if name and name in known), None)
        if twice is not None:
            raise InputError(f"{about} writes {twice!r}, which exists already.", hint=_HINT, code="model-invalid")
        known |= set(node.output)
    absent = next((name for name in outputs if name not in known), None)
    if absent is not None:
        raise InputError(f"{where}: nothing writes the output {absent!r}.", hint=_HINT, code="model-invalid")
