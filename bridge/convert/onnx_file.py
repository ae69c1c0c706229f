"""Writes a graph as an ONNX file, weight by weight: the whole of it would be in memory twice."""

from pathlib import Path
from typing import IO

import numpy as np
import onnx
import onnx_ir as ir

from bridge import heap
from bridge.files import write_pieces

# Field numbers of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto; all of these fields have a length before their content.
GRAPH_OF_MODEL, INITIALIZER_OF_GRAPH, RAW_DATA_OF_TENSOR = 7, 5, 9
LENGTH_DELIMITED = 2
BITS_OF_BYTE = 8
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
            inside = _head(INITIALIZER_OF_GRAPH, len(about) + size) + about
            file.write(_head(GRAPH_OF_MODEL, len(inside) + size) + inside)
            if not text:
                _write_data(tensor, file)
    heap.unmap_files()


def _write_data(tensor: ir.TensorProtocol, file: IO[bytes]) -> None:
    """Without a copy where elements are whole bytes."""
    if tensor.dtype.bitwidth < BITS_OF_BYTE:
        file.write(tensor.tobytes())
    else:
        write_pieces(file, np.ascontiguousarray(tensor.numpy()).reshape(-1).view(np.uint8))


def _head(field: int, length: int) -> bytes:
    """What stands before the content of a field: its number and kind, and its length as a varint."""
    found = bytearray([field << 3 | LENGTH_DELIMITED])
    while length > 0x7F:
        found.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([*found, length])
