"""The TFLite flatbuffer as Python objects; the only importer of the schema.

Source: https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs (schema version 3).
"""

import contextlib
import copy
import dataclasses
import functools
import mmap
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

from bridge.errors import InputError, UnsupportedModelError
from bridge.tflite.builder import Builder
from bridge.tflite.bulk import BulkGraph, pack_buffers
from bridge.tflite.outputs import with_outputs
from bridge.tflite.run_file import RunFile, pages_used_again
from bridge.tflite.unpack import unpack

# The generated schema carries no types; the names say which object is meant.
type ModelT = Any
type SubGraphT = Any
type OperatorT = Any
type TensorT = Any
type QuantizationParametersT = Any

FILE_IDENTIFIER = b"TFL3"
BYTES_PER_OBJECT = 256  # what a tensor or an operator needs at most beside its name, most need 70; a buffer that is too small is copied whole to grow
SMALLEST_BLOB, BLOB_ALIGNMENT = 1024, 64  # of what lies behind the flatbuffer in a file that is not kept
SMALLEST_MAPPED = 1 << 20
NO_INDICES = np.zeros(0, np.int32)


def _names(enum: type) -> Mapping[int, str]:
    return MappingProxyType({value: name for name, value in vars(enum).items() if not name.startswith("_")})


OP_NAMES = _names(schema.BuiltinOperator)  # builtin code -> `CONV_2D`
OP_CODES = MappingProxyType({name: code for code, name in OP_NAMES.items()})
TYPE_NAMES = _names(schema.TensorType)  # tensor type code -> `INT8`
TYPE_CODES = MappingProxyType({name: code for code, name in TYPE_NAMES.items()})
ACTIVATION_CODES = MappingProxyType({name: code for code, name in _names(schema.ActivationFunctionType).items()})  # `RELU6` -> fused activation code

DTYPES: Mapping[int, np.dtype[Any]] = MappingProxyType(
    {
        TYPE_CODES[name]: np.dtype(dtype)
        for name, dtype in (
            ("FLOAT32", "float32"), ("FLOAT16", "float16"), ("FLOAT64", "float64"), ("INT8", "int8"), ("UINT8", "uint8"), ("INT16", "int16"),
            ("UINT16", "uint16"), ("INT32", "int32"), ("UINT32", "uint32"), ("INT64", "int64"), ("UINT64", "uint64"), ("BOOL", "bool"),
        )
    }
)  # fmt: skip
TYPES = MappingProxyType({dtype.name: TYPE_NAMES[code] for code, dtype in DTYPES.items()})  # `float32` -> `FLOAT32`


def read(path: Path) -> ModelT:
    """Reads a TFLite file; constant data are views of one copy of its bytes, which the last two files share with whoever reads them again.

    Raises:
        InputError: the file is missing, or is no TFLite flatbuffer.
    """
    return copied(read_once(path))


def read_once(path: Path) -> ModelT:
    """Like `read`, for work that only looks: nobody changes what it returns, and `forget_files` ends the work.

    Raises:
        InputError: the file is missing, or is no TFLite flatbuffer.
    """
    try:
        now = path.stat()
        return _read_version(_Version(path, now.st_dev, now.st_ino, now.st_mtime_ns, now.st_size))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}.", hint="Check the path of the .tflite file.", code="model-unreadable") from error


@dataclasses.dataclass(frozen=True, slots=True)
class _Version:
    """A file as it is now: a path may be written again, and a file may be moved."""

    path: Path = dataclasses.field(compare=False)
    device: int
    inode: int
    mtime_ns: int
    size: int


@functools.lru_cache(maxsize=2)
def _read_version(version: _Version) -> ModelT:
    content = _content(version.path)
    model = parse(content, where=str(version.path))
    model.content = content  # of the file that it is as long as nobody changes it
    return model


def _content(path: Path) -> bytes | mmap.mmap:
    """The bytes of a file; those of a large one are read when they are looked at, and are the system's to drop."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size < SMALLEST_MAPPED:
            return file.read()
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def forget_files() -> None:
    """Gives back the memory of the files that were read last."""
    _read_version.cache_clear()


@contextlib.contextmanager
def kept_files() -> Iterator[None]:
    """A stretch of work that reads the same files over and over; their memory is given back at its end."""
    try:
        with pages_used_again():
            yield
    finally:
        forget_files()


def parse(content: bytes | mmap.mmap, *, where: str) -> ModelT:
    """Unpacks the bytes of a TFLite file; `where` names it in errors.

    Raises:
        InputError: the bytes are no TFLite flatbuffer.
    """
    if content[4:8] != FILE_IDENTIFIER:
        raise InputError(f"{where}: not a TFLite file (no TFL3 identifier). Received: {content[:8]!r}.", code="model-unreadable")
    try:
        model = unpack(content)
        for buffer in model.buffers:
            if buffer.offset > 1:  # data behind the flatbuffer, as in files above 2 GB
                buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
                buffer.offset = buffer.size = 0
        _fill_in(model)
    except Exception as error:  # the generated reader raises whatever a broken offset leads to
        raise InputError(f"{where}: the TFLite flatbuffer is damaged: {error}.", code="model-unreadable") from error
    return model


def _fill_in(model: ModelT) -> None:
    """Lists that a file leaves out are empty."""
    for graph in model.subgraphs or ():
        graph.tensors, graph.operators = graph.tensors or [], graph.operators or []
        for owner in (graph, *graph.operators):
            owner.inputs = NO_INDICES if owner.inputs is None else owner.inputs
            owner.outputs = NO_INDICES if owner.outputs is None else owner.outputs


def copied(model: ModelT) -> ModelT:
    """A model of its own to change; only arrays are shared, which nobody writes to."""
    made = shallow_copy(model)
    vars(made).pop("content", None)
    made.operatorCodes, made.buffers = _copies(model.operatorCodes), _copies(model.buffers)
    made.metadata, made.signatureDefs = copy.deepcopy(model.metadata), copy.deepcopy(model.signatureDefs)
    made.subgraphs = _copies(model.subgraphs)
    for graph in made.subgraphs or ():
        graph.tensors, graph.operators = _copies(graph.tensors), _copies(graph.operators)
        for tensor in graph.tensors or ():
            tensor.quantization = shallow_copy(tensor.quantization)
        for op in graph.operators or ():
            op.builtinOptions = shallow_copy(op.builtinOptions)
    return made


def _copies(objects: list[Any] | None) -> list[Any] | None:
    return None if objects is None else [shallow_copy(one) for one in objects]


def shallow_copy(one: Any) -> Any:
    """Like `copy.copy` of an object of the schema, at a fifth of its time: options and arrays are shared."""
    if one is None:
        return None
    made = object.__new__(type(one))
    made.__dict__.update(one.__dict__)
    return made


def serialize(model: ModelT) -> bytes:
    """The file's bytes; the same object graph gives the same bytes in every process."""
    return bytes(serialized(model))


def serialized(model: ModelT) -> memoryview:
    """Like `serialize`, without a copy."""
    builder = Builder(_size(model))
    builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
    return memoryview(builder.Bytes)[builder.Head() :]


def run_file(model: ModelT, *, apart: bool = False) -> RunFile:
    """The model as a file to be run: large constants lie behind the flatbuffer, which spares a copy of all of them.

    Args:
        model: left as it is.
        apart: no two tensors share their scales, so that they can be changed in place.
    """
    metadata, buffers, graphs, large = {entry.buffer for entry in model.metadata or ()}, model.buffers, model.subgraphs, []
    inside = model.buffers = list(buffers)
    for index, one in enumerate(buffers):
        if one.data is not None and len(one.data) >= SMALLEST_BLOB and index not in metadata:
            inside[index] = schema.BufferT(size=len(one.data))
            large.append((inside[index], one.data))
    try:
        room = _size(model)
        model.subgraphs = [BulkGraph(graph) for graph in graphs]
        while True:  # where the large ones begin has to be known before
            place = room = -(-room // BLOB_ALIGNMENT) * BLOB_ALIGNMENT
            for buffer, data in large:
                buffer.offset, place = place, place + -(-len(data) // BLOB_ALIGNMENT) * BLOB_ALIGNMENT
            builder = Builder(room, apart=apart)
            model.buffers = pack_buffers(builder, inside)
            builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
            head = memoryview(builder.Bytes)[builder.Head() :]
            if len(head) <= room:
                return RunFile([(0, head), *((buffer.offset, data) for buffer, data in large)])
            room = len(head)
    finally:
        model.buffers, model.subgraphs = buffers, graphs


def _size(model: ModelT) -> int:
    """About what the file takes, rather more."""
    data = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
    rest = sum(len(graph.tensors) + len(graph.operators) for graph in model.subgraphs) * BYTES_PER_OBJECT
    return data + rest + sum(_vector_bytes(tensor) for graph in model.subgraphs for tensor in graph.tensors) + (1 << 16)


def _vector_bytes(tensor: TensorT) -> int:
    """Of its name, and of scales and zero points, of which a weight of many channels has more than it is an object."""
    scales = tensor.quantization.scale if tensor.quantization is not None else None
    return len(tensor.name or "") + (12 * len(scales) if scales is not None else 0)


def text(name: bytes | str | None) -> str:
    """A name of the file as str."""
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name or ""


def builtin_code(code: Any) -> int:
    """What an entry of `operatorCodes` stands for; codes below 127 stand in the older of its two fields as well."""
    return int(max(code.builtinCode, code.deprecatedBuiltinCode))


def op_name(model: ModelT, op: OperatorT) -> str:
    """`CONV_2D`, or `CUSTOM:<code>` for a custom op."""
    code = model.operatorCodes[op.opcodeIndex]
    builtin = builtin_code(code)
    return f"CUSTOM:{text(code.customCode)}" if OP_NAMES[builtin] == "CUSTOM" else OP_NAMES[builtin]


def dtype(tensor: TensorT) -> np.dtype[Any]:
    """NumPy dtype of a tensor's elements.

    Raises:
        UnsupportedModelError: NumPy has none.
    """
    if tensor.type not in DTYPES:
        message = f"The TFLite file has the tensor {text(tensor.name)!r} of type {TYPE_NAMES.get(tensor.type, tensor.type)}, which is not computed with here."
        raise UnsupportedModelError(
            message, hint="Strings, resource variables and packed integers have to stay outside of the file.", causes=["no-tflite-type"]
        )
    return DTYPES[tensor.type]


def shape(tensor: TensorT) -> tuple[int, ...]:
    """Static shape; a scalar has none of its axes."""
    return tuple(int(size) for size in tensor.shape) if tensor.shape is not None else ()


def is_constant(model: ModelT, tensor: TensorT) -> bool:
    """Whether the file holds the tensor's value."""
    data = model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0


def constant(model: ModelT, tensor: TensorT) -> np.ndarray:
    """The value of a constant tensor, in its own dtype and shape; a view, copy to change it.

    Raises:
        ValueError: the tensor has no value in the file.
    """
    if not is_constant(model, tensor):
        raise ValueError(f"tensor {text(tensor.name)!r} is not constant")
    return np.asarray(model.buffers[tensor.buffer].data, np.uint8).view(dtype(tensor)).reshape(shape(tensor))


def add_buffer(model: ModelT, value: np.ndarray) -> int:
    """Appends the bytes of an array as a new buffer, returns its index; the array is not copied, so nobody writes to it any more."""
    buffer = schema.BufferT()
    buffer.data = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
    model.buffers.append(buffer)
    return len(model.buffers) - 1


def add_tensor(
    model: ModelT,
    graph: SubGraphT,
    name: str,
    type_name: str,
    shape: Sequence[int],
    *,
    buffer: int = 0,
    quantization: QuantizationParametersT | None = None,
) -> int:
    """Appends a tensor to a subgraph, returns its index; buffer 0 is the empty one."""
    tensor = schema.TensorT()
    tensor.name, tensor.type, tensor.shape, tensor.buffer = name.encode(), TYPE_CODES[type_name], np.asarray(shape, np.int32), buffer
    tensor.quantization = quantization
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def set_type(tensor: TensorT, type_name: str, scales: Sequence[float] = (), zero_points: Sequence[int] = (), *, axis: int = 0) -> None:
    """Declares what a tensor's stored values are: the element type and, for quantized ones, scales and zero points along `axis`."""
    tensor.type = TYPE_CODES[type_name]
    tensor.quantization = None
    if scales:
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale = np.asarray(scales, np.float32)
        tensor.quantization.zeroPoint = np.asarray(zero_points, np.int64)
        tensor.quantization.quantizedDimension = axis


def op_code(model: ModelT, name: str, version: int) -> int:
    """Index of the operator code (name, version), appended when the file has none."""
    wanted = OP_CODES[name]
    for index, code in enumerate(model.operatorCodes):
        if builtin_code(code) == wanted and code.version == version:
            return index
    code = schema.OperatorCodeT()
    code.builtinCode, code.version = wanted, version
    code.deprecatedBuiltinCode = min(wanted, schema.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES)
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def add_op(model: ModelT, name: str, version: int, inputs: Iterable[int], outputs: Iterable[int]) -> OperatorT:
    """A new operator without options, not yet placed in a subgraph."""
    operator = schema.OperatorT()
    operator.opcodeIndex = op_code(model, name, version)
    operator.inputs, operator.outputs = np.asarray(list(inputs), np.int32), np.asarray(list(outputs), np.int32)
    return operator


def custom_op(model: ModelT, code: str, inputs: Iterable[int], outputs: Iterable[int], options: Mapping[str, object]) -> OperatorT:
    """A new CUSTOM operator with its options as a flexbuffer map, not yet placed in a subgraph."""
    entry = schema.OperatorCodeT()
    entry.builtinCode = entry.deprecatedBuiltinCode = OP_CODES["CUSTOM"]
    entry.customCode, entry.version = code.encode(), 1
    found = next((index for index, other in enumerate(model.operatorCodes) if text(other.customCode) == code), None)
    if found is None:
        model.operatorCodes.append(entry)
    operator = schema.OperatorT()
    operator.opcodeIndex = len(model.operatorCodes) - 1 if found is None else found
    operator.inputs, operator.outputs = np.asarray(list(inputs), np.int32), np.asarray(list(outputs), np.int32)
    operator.customOptions = np.frombuffer(bytes(flexbuffers.Dumps(dict(options))), np.uint8)
    return operator


def custom_options(operator: OperatorT) -> Mapping[str, object]:
    """The options of a CUSTOM operator that were written as a flexbuffer map."""
    content: Mapping[str, object] = flexbuffers.Loads(bytearray(np.asarray(operator.customOptions, np.uint8)))
    return content


def set_options(operator: OperatorT, name: str, **fields: object) -> None:
    """Gives an operator its builtin options: the schema's table name (`Conv2DOptions`) and fields (`strideH=2`); other fields have zeros."""
    options = getattr(schema, f"{name}T")()
    for field, value in fields.items():
        if not hasattr(options, field):
            raise ValueError(f"{name} has no field {field!r}")
        setattr(options, field, value)
    operator.builtinOptionsType, operator.builtinOptions = getattr(schema.BuiltinOptions, name), options


def change_options(operator: OperatorT, name: str, fields: Mapping[str, object]) -> None:
    """Sets fields of an operator's builtin options; an operator without options gets the table of its name with zeros elsewhere."""
    if operator.builtinOptions is None:
        set_options(operator, f"{name.title().replace('_', '')}Options", **fields)
        return
    for field, value in fields.items():
        if not hasattr(operator.builtinOptions, field):
            raise ValueError(f"{name} has no field {field!r}")
        setattr(operator.builtinOptions, field, value)


def packed_int4(values: np.ndarray) -> np.ndarray:
    """Two values per byte, the first in the low half; an odd number of them ends in a zero.

    Args:
        values: int8 in -8 .. 7, any shape.
    """
    halves = np.zeros(values.size + values.size % 2, np.uint8)
    halves[: values.size] = values.reshape(-1).view(np.uint8) & 0xF
    packed: np.ndarray = halves[0::2] | halves[1::2] << 4
    return packed


def integers(model: ModelT, tensor: TensorT) -> np.ndarray:
    """The value of a constant tensor as `constant` gives it, int4 one per int8."""
    if TYPE_NAMES[tensor.type] != "INT4":
        return constant(model, tensor)
    packed: Any = np.asarray(model.buffers[tensor.buffer].data, np.uint8)
    halves = np.stack([packed & 15, packed >> 4], axis=-1).reshape(-1)[: int(np.prod(shape(tensor)))].astype(np.int8)
    return np.where(halves > 7, halves - 16, halves).reshape(shape(tensor))


def new_model(description: str) -> ModelT:
    """A file with one empty subgraph and the empty buffer 0, to which tensors and operators can be added."""
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.description = 3, description.encode()
    model.buffers, model.operatorCodes, model.subgraphs = [schema.BufferT()], [], [graph]
    graph.name, graph.tensors, graph.operators = b"main", [], []
    graph.inputs = graph.outputs = np.zeros(0, np.int32)
    return model


def add_signature(model: ModelT, key: str, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> None:
    """Appends a signature of the main graph: names under which callers know its inputs and outputs -> tensor indices."""
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = key.encode(), 0
    signature.inputs, signature.outputs = ([_entry(name, tensor) for name, tensor in side.items()] for side in (inputs, outputs))
    model.signatureDefs = [*(model.signatureDefs or ()), signature]


def set_ends(model: ModelT, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> None:
    """Gives the main graph other inputs and outputs; a signature of the file gets them under these names."""
    main = main_graph(model)
    main.inputs, main.outputs = np.asarray(list(inputs.values()), np.int32), np.asarray(list(outputs.values()), np.int32)
    keys = [text(signature.signatureKey) for signature in model.signatureDefs or () if signature.subgraphIndex == 0]
    model.signatureDefs = [signature for signature in model.signatureDefs or () if signature.subgraphIndex != 0]
    for key in keys:
        add_signature(model, key, inputs, outputs)


def _entry(name: str, tensor: int) -> object:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name.encode(), tensor
    return entry


def add_metadata(model: ModelT, name: str, content: bytes) -> None:
    """Appends a named block of bytes that the runtime ignores."""
    metadata = schema.MetadataT()
    metadata.name, metadata.buffer = name.encode(), add_buffer(model, np.frombuffer(content, np.uint8))
    model.metadata = [*(model.metadata or ()), metadata]


def main_graph(model: ModelT) -> SubGraphT:
    """The subgraph that runs."""
    return model.subgraphs[0]


def named_inputs(model: ModelT) -> Mapping[str, TensorT]:
    """The main graph's inputs in its order, under the names that callers feed: those of its signature, else of the tensors."""
    graph = main_graph(model)
    signature = next((one for one in model.signatureDefs or () if one.subgraphIndex == 0), None)
    named = {int(entry.tensorIndex): text(entry.name) for entry in (signature.inputs if signature is not None else None) or ()}
    return {named.get(int(index), text(graph.tensors[index].name)): graph.tensors[index] for index in graph.inputs}


def operator_names(model: ModelT) -> tuple[str, ...]:
    """A name for each operator of the main graph: that of the first tensor it writes, else its kind and place."""
    graph = main_graph(model)
    return tuple(
        text(graph.tensors[op.outputs[0]].name) if op.outputs is not None and len(op.outputs) else f"{op_name(model, op)}_{place}"
        for place, op in enumerate(graph.operators)
    )


def activations(model: ModelT) -> tuple[int, ...]:
    """Indices of the main graph's tensors that a run computes or is fed: model inputs and operator outputs, in order of computation."""
    graph = main_graph(model)
    written = [int(index) for op in graph.operators for index in op.outputs if index >= 0]
    return tuple(dict.fromkeys([int(index) for index in graph.inputs] + written))


def expose(model: ModelT, tensors: Iterable[int]) -> RunFile:
    """The file with the given tensors as its only outputs, in that order; `model` itself is left as it is.

    A delegate has to write out what is a model output, so this shows every intermediate value at the delegate's own speed and from the
    delegate's own kernels, which `preserve_all_tensors` does not.
    """
    graph = main_graph(model)
    outputs, signatures = graph.outputs, model.signatureDefs
    if hasattr(model, "content") and len(outputs):
        return with_outputs(model.content, tensors)
    try:
        graph.outputs, model.signatureDefs = np.asarray(list(tensors), np.int32), None
        return run_file(model)
    finally:
        graph.outputs, model.signatureDefs = outputs, signatures
