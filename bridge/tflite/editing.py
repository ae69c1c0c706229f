"""Changes to a TFLite model: tensors, operators, options, signatures, metadata."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

from bridge.tflite.names import OP_CODES, TYPE_CODES, ModelT, OperatorT, QuantizationParametersT, SubGraphT, TensorT
from bridge.tflite.views import builtin_code, main_graph, text


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
    tensor = new_tensor(name, type_name, shape)
    tensor.buffer, tensor.quantization = buffer, quantization
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def new_tensor(name: str, type_name: str, shape: Sequence[int]) -> TensorT:
    """A tensor without a value, not yet placed in a subgraph."""
    tensor = schema.TensorT()
    tensor.name, tensor.type, tensor.shape = name.encode(), TYPE_CODES[type_name], np.asarray(shape, np.int32)
    return tensor


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
