"""Objects of the schema as TFLite files, kept ones and ones to be run."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from bridge.tflite.builder import Builder
from bridge.tflite.bulk import BulkGraph, Packed, pack_buffers
from bridge.tflite.growing import PACKED, Base
from bridge.tflite.names import FILE_IDENTIFIER, ModelT, TensorT
from bridge.tflite.outputs import with_outputs
from bridge.tflite.pages import ALIGNMENT, aligned
from bridge.tflite.run_file import RunFile
from bridge.tflite.unpack import shallow_copy
from bridge.tflite.views import main_graph

BYTES_PER_OBJECT = 256  # what a tensor or an operator needs at most beside its name, most need 70; a buffer that is too small is copied whole to grow
SMALLEST_BLOB = 1024  # bytes of what lies behind the flatbuffer in a file that is not kept


def serialize(model: ModelT) -> bytes:
    """The file's bytes; the same object graph gives the same bytes in every process."""
    return b"".join(pieces(model))


def pieces(model: ModelT) -> Iterator[memoryview | np.ndarray]:
    """Like `serialize`, one piece behind the other without a copy of large constants."""
    builder = Builder(_size(model), referring=True)
    builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
    return builder.pieces()


def run_file(model: ModelT, *, apart: bool = False) -> RunFile:
    """The model as a file to be run: large constants lie behind the flatbuffer, which spares a copy of all of them.

    Args:
        model: left as it is.
        apart: no two tensors share their scales, so that they can be changed in place, and nothing else is in the file.
    """
    base: Base | None = vars(model).get("base")
    whole, metadata, large = shallow_copy(model), {entry.buffer for entry in model.metadata or ()}, []
    whole.operatorCodes, whole.buffers = _fresh(model.operatorCodes, base), _fresh(model.buffers, base)
    whole.subgraphs = [shallow_copy(graph) for graph in model.subgraphs]
    for graph in whole.subgraphs:
        graph.tensors, graph.operators = _fresh(graph.tensors, base), _fresh(graph.operators, base)
    for index, one in enumerate(whole.buffers):
        if type(one) is not Packed and one.data is not None and len(one.data) >= SMALLEST_BLOB and index not in metadata:
            whole.buffers[index] = schema.BufferT(size=len(one.data))
            large.append((whole.buffers[index], one.data))
    room, inside, outputs = _size(whole), whole.buffers, model.subgraphs[0].outputs.tolist()
    whole.subgraphs = [BulkGraph(graph) for graph in whole.subgraphs]

    def head(places: Iterable[int]) -> memoryview:
        for (buffer, _), place in zip(large, places, strict=True):
            buffer.offset = place
        builder = Builder(room, apart=apart)
        builder.minalign = ALIGNMENT  # of what follows it
        whole.buffers = pack_buffers(builder, inside)
        builder.Finish(whole.Pack(builder), FILE_IDENTIFIER)
        return memoryview(builder.Bytes)[builder.Head() :]

    if base is None:
        return RunFile.arranged([data for _, data in large], room, head, outputs=outputs, alone=apart)
    while True:  # where the large ones begin has to be known before
        room = aligned(room)
        ends = [*itertools.accumulate((aligned(len(data)) for _, data in large), initial=room + aligned(len(base.content)))]
        content = head(ends[:-1])
        if len(content) <= room:
            parts = [(0, content), (len(content), memoryview(base.content)), *((buffer.offset, data) for buffer, data in large)]
            return RunFile(parts, outputs)
        room = len(content)


def _fresh(objects: Sequence[Any] | None, base: Base | None) -> list[Any] | None:
    """The objects, but for those that stand behind the flatbuffer in the bytes of the file that the model has grown out of."""
    if objects is None or base is None:
        return None if objects is None else list(objects)
    return [one if (place := base.places.get(id(one))) is None else Packed(-place) for one in objects]


def _size(model: ModelT) -> int:
    """About what the file takes, rather more."""
    data = sum(len(buffer.data) for buffer in model.buffers if type(buffer) is not Packed and buffer.data is not None)
    rest = sum(len(graph.tensors) + len(graph.operators) for graph in model.subgraphs) * BYTES_PER_OBJECT
    tensors = (tensor for graph in model.subgraphs for tensor in graph.tensors if type(tensor) is not Packed)
    return data + rest + sum(map(_vector_bytes, tensors)) + (1 << 16)


def _vector_bytes(tensor: TensorT) -> int:
    """Of its name, and of scales and zero points, of which a weight of many channels has more than it is an object."""
    scales = tensor.quantization.scale if tensor.quantization is not None else None
    return len(tensor.name or "") + (12 * len(scales) if scales is not None else 0)


def expose(model: ModelT, tensors: Iterable[int]) -> RunFile:
    """The file with the given tensors as its only outputs, in that order; `model` itself is left as it is.

    A delegate has to write out what is a model output, so this shows every intermediate value at the delegate's own speed and from the
    delegate's own kernels, which `preserve_all_tensors` does not.
    """
    graph = main_graph(model)
    outputs, signatures = graph.outputs, model.signatureDefs
    if hasattr(model, "content") and len(outputs) and len(model.content) < PACKED * len(graph.operators):
        return with_outputs(model.content, tensors)
    try:
        graph.outputs, model.signatureDefs = np.asarray(list(tensors), np.int32), None
        return run_file(model)
    finally:
        graph.outputs, model.signatureDefs = outputs, signatures
