"""Objects of the schema as TFLite files, kept ones and ones to be run."""

from collections.abc import Iterable, Iterator

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from bridge.tflite.builder import Builder
from bridge.tflite.bulk import BulkGraph, pack_buffers
from bridge.tflite.names import FILE_IDENTIFIER, ModelT, TensorT
from bridge.tflite.outputs import with_outputs
from bridge.tflite.run_file import RunFile
from bridge.tflite.views import main_graph

BYTES_PER_OBJECT = 256  # what a tensor or an operator needs at most beside its name, most need 70; a buffer that is too small is copied whole to grow
SMALLEST_BLOB, BLOB_ALIGNMENT = 1024, 64  # of what lies behind the flatbuffer in a file that is not kept


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
                return RunFile([(0, head), *((buffer.offset, data) for buffer, data in large)], graphs[0].outputs.tolist())
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
