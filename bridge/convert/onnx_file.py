"""Writes a graph as an ONNX file, weight by weight: the whole of it would be in memory twice."""

from pathlib import Path
from typing import IO

import numpy as np
import onnx
import onnx_ir as ir

from bridge import heap
from bridge.files import write_pieces

# Field numbers of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto; all of these fields have a length before their content.
GRAPH_OF_MODEL, INITIALIZER_OF_GRAPH, RAW_DATA_OF_TENSOR, COMMENT_OF_TENSOR = 7, 5, 9, 12
COMMENT_HEAD = 2  # bytes
LENGTH_DELIMITED = 2
BITS_OF_BYTE = 8
ALIGNMENT, LARGE = (
    64,
    1 << 16,
)  # of the data of weights of so many bytes: a copy to a place a few bytes behind that of its source within a page takes twice as long
NOTHING = ir.Tensor(np.zeros(0, np.float32), name="nothing")  # stands in for what is written by itself


def save(model: ir.Model, path: Path) -> None:
    """Writes the file; protobuf joins messages by concatenation, so that each weight is a further piece of the graph.

    Args:
        model: left as it is.
        path: of the file.
    """
    held = [(value, value.const_value) for value in model.graph.initializers.values()]
    try:
        for value, _ in held:
            value.const_value = NOTHING
        proto = ir.to_proto(model)
        del proto.graph.initializer[:]
    finally:
        for value, tensor in held:
            value.const_value = tensor
    with path.open("wb") as file:
        file.write(proto.SerializeToString())
        for value, tensor in held:
            if tensor is None:
                continue
            text = tensor.dtype == ir.DataType.STRING
            if text:
                about, size = ir.serde.serialize_tensor(tensor).SerializeToString(), 0
            else:
                size = tensor.nbytes
                about = onnx.TensorProto(name=value.name, dims=tensor.shape.numpy(), data_type=int(tensor.dtype)).SerializeToString()
                about += _head(RAW_DATA_OF_TENSOR, size)
            head = _wrapped(about, size)
            missing = -(file.tell() + len(head)) % ALIGNMENT if size >= LARGE else 0
            if missing:
                head = _wrapped(_filling(missing) + about, size)
            file.write(head)
            if not text:
                _write_data(tensor, file)
    heap.unmap_files()


def _write_data(tensor: ir.TensorProtocol, file: IO[bytes]) -> None:
    """Without a copy where elements are whole bytes."""
    if tensor.dtype.bitwidth < BITS_OF_BYTE:
        file.write(tensor.tobytes())
    else:
        write_pieces(file, np.ascontiguousarray(tensor.numpy()).reshape(-1).view(np.uint8))


def _wrapped(about: bytes, size: int) -> bytes:
    """What stands before the data of a weight."""
    inside = _head(INITIALIZER_OF_GRAPH, len(about) + size) + about
    return _head(GRAPH_OF_MODEL, len(inside) + size) + inside


def _filling(size: int) -> bytes:
    """A comment on a weight, of so many bytes or ALIGNMENT more; those of the lengths around it stay what they are, up to the next power of 128."""
    text = (size - COMMENT_HEAD) % ALIGNMENT
    return _head(COMMENT_OF_TENSOR, text) + b" " * text


def _head(field: int, length: int) -> bytes:
    """What stands before the content of a field: its number and kind, and its length as a varint."""
    found = bytearray([field << 3 | LENGTH_DELIMITED])
    while length > 0x7F:
        found.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([*found, length])
