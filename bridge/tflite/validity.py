"""Refuses TFLite files whose parts do not fit together, before a runtime that trusts them maps them into memory."""

import math
from collections.abc import Iterator
from types import MappingProxyType

import numpy as np

from bridge.errors import InputError
from bridge.tflite import model as tflite

MAX_ELEMENTS = 1 << 33  # of one tensor; more than any file describes that fits into memory
LIMITS = MappingProxyType({"INT8": "int8", "UINT8": "uint8", "INT16": "int16", "INT32": "int32"})  # of zero points
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
        raise InputError(f"{where}: the TFLite file is damaged: {fault}.")


def _faults(model: tflite.ModelT) -> Iterator[str]:
    if not model.subgraphs or not model.buffers:
        yield "it has no graph"
        return
    for graph in model.subgraphs:
        tensors = graph.tensors if graph.tensors is not None else []
        yield from _tensor_faults(model, tensors)
        ends = [*_indices(graph.inputs), *_indices(graph.outputs)]
        if not all(0 <= index < len(tensors) for index in ends):
            yield "an input or output of the graph does not exist"
        for position, op in enumerate(graph.operators if graph.operators is not None else []):
            if not 0 <= op.opcodeIndex < len(model.operatorCodes or ()):
                yield f"operator {position} has no code"
            elif not all(ABSENT <= index < len(tensors) for index in (*_indices(op.inputs), *_indices(op.outputs), *_indices(op.intermediates))):
                yield f"operator {position} reads or writes a tensor that does not exist"


def _tensor_faults(model: tflite.ModelT, tensors: list[tflite.TensorT]) -> Iterator[str]:
    for tensor in tensors:
        name = tflite.text(tensor.name)
        shape = tflite.shape(tensor)
        if tensor.type not in tflite.TYPE_NAMES:
            yield f"tensor {name!r} has the unknown type {tensor.type}"
        elif not 0 <= tensor.buffer < len(model.buffers):
            yield f"tensor {name!r} has no buffer"
        elif any(size < 0 for size in shape) or math.prod(shape) > MAX_ELEMENTS:
            yield f"tensor {name!r} has the shape {list(shape)}"
        elif tflite.is_constant(model, tensor) and tensor.sparsity is None and tensor.type in tflite.DTYPES:
            held, needed = len(model.buffers[tensor.buffer].data), math.prod(shape) * tflite.dtype(tensor).itemsize
            if held < needed:
                yield f"constant {name!r} holds {held} bytes, its shape {list(shape)} takes {needed}"
        yield from _quantization_faults(tensor, name, shape)


def _quantization_faults(tensor: tflite.TensorT, name: str, shape: tuple[int, ...]) -> Iterator[str]:
    quantization = tensor.quantization
    if quantization is None or quantization.scale is None:
        return
    scales = np.asarray(quantization.scale)
    points = np.asarray(quantization.zeroPoint if quantization.zeroPoint is not None else [])
    if not np.isfinite(scales).all() or (scales < 0).any():
        yield f"tensor {name!r} has a scale that is negative or no number"
    limits = np.iinfo(LIMITS.get(tflite.TYPE_NAMES.get(tensor.type, ""), "int64"))
    if (points < limits.min).any() or (points > limits.max).any():
        yield f"tensor {name!r} has a zero point outside its type: {points.tolist()[:4]}"
    if len(points) not in (0, 1, len(scales)):
        yield f"tensor {name!r} has {len(scales)} scales and {len(points)} zero points"
    if len(scales) > 1 and not (0 <= quantization.quantizedDimension < len(shape) and shape[quantization.quantizedDimension] == len(scales)):
        yield f"tensor {name!r} has {len(scales)} scales along axis {quantization.quantizedDimension} of {list(shape)}"


def _indices(values: "np.ndarray | list[int] | None") -> list[int]:
    return [] if values is None else [int(value) for value in values]
