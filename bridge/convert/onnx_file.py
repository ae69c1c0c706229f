"""Writes a graph as an ONNX file, weight by weight: the whole of it would be in memory twice."""

from pathlib import Path
from typing import IO

import numpy as np
import onnx
import onnx_ir as ir

from bridge import heap
from bridge.files import write_pieces
from bridge.onnx_wire import COMMENT_OF_TENSOR, GRAPH_OF_MODEL, INITIALIZER_OF_GRAPH, RAW_DATA_OF_TENSOR, head

COMMENT_HEAD = 2  # bytes
BITS_OF_BYTE = 8
LARGE = 1 << 16  # bytes of a weight whose data are aligned
ALIGNMENT = 64  # a copy to a place a few bytes behind that of its source within a page takes twice as long
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
                about += head(RAW_DATA_OF_TENSOR, size)
            before = _wrapped(about, size)
            missing = -(file.tell() + len(before)) % ALIGNMENT if size >= LARGE else 0
            if missing:
                before = _wrapped(_filling(missing) + about, size)
            file.write(before)
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
    inside = head(INITIALIZER_OF_GRAPH, len(about) + size) + about
    return head(GRAPH_OF_MODEL, len(inside) + size) + inside


def _filling(size: int) -> bytes:
    """A comment on a weight, of so many bytes or ALIGNMENT more; those of the lengths around it stay what they are, up to the next power of 128."""
    text = (size - COMMENT_HEAD) % ALIGNMENT
    return head(COMMENT_OF_TENSOR, text) + b" " * text
