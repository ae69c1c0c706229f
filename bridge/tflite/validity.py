"""Refuses TFLite files whose parts do not fit together, before a runtime that trusts them maps them into memory."""

import math
from collections.abc import Iterator
from types import MappingProxyType

import numpy as np

from bridge.errors import InputError
from bridge.tflite import model as tflite

MAX_ELEMENTS = 1 << 33  # of one tensor; more than any file describes that fits into memory
LIMITS = MappingProxyType({"INT8": "int8", "UINT8": "uint8", "INT16": "int16", "INT32": "int32"})  # of zero points
SMALLEST_SCALE = float(np.finfo(np.float32).tiny)  # XNNPACK's preparations crash on smaller ones
ABSENT = -1  # index of an optional input that is left out


def check(model: tflite.ModelT, *, where: str) -> None:
    """Passes a file whose indices, shapes and constants are consistent.

    Args:
        model: as read.
        where: names the file in the error.

    Raises:
        InputError: they are not; names the first fault.
    """
    fault = next(_faults(model), None)
    if fault is not None:
        raise InputError(f"{where}: the TFLite file is damaged: {fault}.", code="model-unreadable")


def _faults(model: tflite.ModelT) -> Iterator[str]:
    if not model.subgraphs or not model.buffers:
        yield "it has no graph"
        return
    codes = model.operatorCodes or ()
    for position, code in enumerate(codes):
        if tflite.builtin_code(code) not in tflite.OP_NAMES:
            yield f"operator code {position} is {tflite.builtin_code(code)}, which LiteRT's schema does not have"
    for graph in model.subgraphs:
        yield from _tensor_faults(model, graph.tensors)
        count = len(graph.tensors)
        if not all(0 <= index < count for index in (*graph.inputs, *graph.outputs)):
            yield "an input or output of the graph does not exist"
            return
        for position, op in enumerate(graph.operators):
            if not 0 <= op.opcodeIndex < len(codes):
                yield f"operator {position} has no code"
            elif not all(ABSENT <= index < count for index in (*op.inputs, *(op.intermediates if op.intermediates is not None else ()))) or not all(
                0 <= index < count for index in op.outputs
            ):
                yield f"operator {position} reads or writes a tensor that does not exist"
        yield from _order_faults(model, graph)
    main = tflite.main_graph(model)
    if not len(main.inputs) or not len(main.outputs):
        yield "its main graph has no inputs or no outputs"
    yield from _end_faults(model, main)


def _order_faults(model: tflite.ModelT, graph: tflite.SubGraphT) -> Iterator[str]:
    """Operators run in the order of the file: each reads what is fed, stored or written before it."""
    names = [tflite.text(tensor.name) for tensor in graph.tensors]
    stored = {
        index for index, tensor in enumerate(graph.tensors) if tensor.isVariable or 0 in tflite.shape(tensor) or tflite.is_constant(model, tensor)
    }
    ends = {int(index) for index in graph.inputs}
    known = stored | ends
    for position, op in enumerate(graph.operators):
        unwritten = next((int(index) for index in op.inputs if index != ABSENT and int(index) not in known), None)
        if unwritten is not None:
            yield f"operator {position} reads {names[unwritten]!r}, which is neither stored nor written before"
        fed = next((int(index) for index in op.outputs if int(index) in ends), None)
        if fed is not None:  # two operators may write one tensor, also one with a value in the file: onnx2tf does that with shapes
            yield f"operator {position} writes {names[fed]!r}, which is fed"
        known.update(map(int, op.outputs))
    absent = next((int(index) for index in graph.outputs if int(index) not in known), None)
    if absent is not None:
        yield f"nothing writes the output {names[absent]!r}"


def _end_faults(model: tflite.ModelT, main: tflite.SubGraphT) -> Iterator[str]:
    """What callers feed and read."""
    for index in main.inputs:
        tensor = main.tensors[index]
        if tflite.is_constant(model, tensor):
            yield f"the input {tflite.text(tensor.name)!r} has a value in the file"
    if len(tflite.named_inputs(model)) != len(main.inputs) or len({tflite.text(main.tensors[index].name) for index in main.inputs}) != len(
        main.inputs
    ):
        yield "two inputs have one name, or are one tensor"
    for signature in model.signatureDefs or ():
        if not 0 <= signature.subgraphIndex < len(model.subgraphs):
            yield f"signature {tflite.text(signature.signatureKey)!r} is of a graph that does not exist"
            return
        count = len(model.subgraphs[signature.subgraphIndex].tensors)
        if not all(0 <= entry.tensorIndex < count for entry in (*(signature.inputs or ()), *(signature.outputs or ()))):
            yield f"signature {tflite.text(signature.signatureKey)!r} names a tensor that does not exist"


def _tensor_faults(model: tflite.ModelT, tensors: list[tflite.TensorT]) -> Iterator[str]:
    for index, tensor in enumerate(tensors):
        name = tflite.text(tensor.name)
        shape = tflite.shape(tensor)
        if isinstance(tensor.name, bytes) and not _is_text(tensor.name):
            yield f"tensor {index} has a name that is no text"
        elif tensor.type not in tflite.TYPE_NAMES:
            yield f"tensor {name!r} has the unknown type {tensor.type}"
        elif not 0 <= tensor.buffer < len(model.buffers):
            yield f"tensor {name!r} has no buffer"
        elif any(size < 0 for size in shape) or math.prod(shape) > MAX_ELEMENTS:
            yield f"tensor {name!r} has the shape {list(shape)}"
        elif tflite.is_constant(model, tensor) and tensor.sparsity is None and tensor.type in tflite.DTYPES:
            held, needed = len(model.buffers[tensor.buffer].data), math.prod(shape) * tflite.dtype(tensor).itemsize
            if held != needed:
                yield f"constant {name!r} holds {held} bytes, its shape {list(shape)} takes {needed}"
        yield from _value_faults(model, tensor, name)
        yield from _quantization_faults(tensor, name, shape, constant=0 <= tensor.buffer < len(model.buffers) and tflite.is_constant(model, tensor))


def _value_faults(model: tflite.ModelT, tensor: tflite.TensorT, name: str) -> Iterator[str]:
    if tensor.type in tflite.DTYPES and tflite.dtype(tensor).kind == "f" and tensor.sparsity is None and tflite.is_constant(model, tensor):
        values = tflite.constant(model, tensor)
        with np.errstate(invalid="ignore"):
            lowest = values.min() if values.size else 0.0
        if np.isnan(lowest):
            yield f"weight {name!r} holds NaN"


def _quantization_faults(tensor: tflite.TensorT, name: str, shape: tuple[int, ...], *, constant: bool) -> Iterator[str]:
    quantization = tensor.quantization
    if quantization is None or quantization.scale is None:
        return
    scales = np.asarray(quantization.scale)
    points = np.asarray(quantization.zeroPoint if quantization.zeroPoint is not None else [])
    if not np.isfinite(scales).all() or not ((scales >= SMALLEST_SCALE) | ((scales == 0) & constant)).all():  # a channel of weights can be all 0
        yield f"tensor {name!r} has a scale that is negative, no number or next to zero"
    limits = np.iinfo(LIMITS.get(tflite.TYPE_NAMES.get(tensor.type, ""), "int64"))
    if (points < limits.min).any() or (points > limits.max).any():
        yield f"tensor {name!r} has a zero point outside its type: {points.tolist()[:4]}"
    if len(scales) > 1 and not (0 <= quantization.quantizedDimension < len(shape) and shape[quantization.quantizedDimension] == len(scales)):
        yield f"tensor {name!r} has {len(scales)} scales along axis {quantization.quantizedDimension} of {list(shape)}"
    if len(scales) and len(points) != len(scales):  # LiteRT does not load such a file either
        yield f"tensor {name!r} has {len(scales)} scales and {len(points)} zero points"


def _is_text(name: bytes) -> bool:
    """UTF-8, and nothing that ends a name in C."""
    try:
        return "\0" not in name.decode("utf-8")
    except UnicodeDecodeError:
        return False
