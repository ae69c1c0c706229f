"""Finds the weights in a large ONNX file: protobuf would copy each of them, and whoever asks it for one gets another copy."""

import mmap
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from bridge.onnx_wire import (
    EXTERNAL_DATA_OF_TENSOR,
    GRAPH_OF_MODEL,
    INITIALIZER_OF_GRAPH,
    LENGTH_DELIMITED,
    LOCATION_OF_TENSOR,
    RAW_DATA_OF_TENSOR,
    head,
)

VARINT, EIGHT_BYTES, FOUR_BYTES = 0, 1, 5
FIXED = {EIGHT_BYTES: 8, FOUR_BYTES: 4}
LONGEST_VARINT = 10  # bytes
SMALLEST = 1 << 12  # bytes of a weight that is left out


class Field(NamedTuple):
    """One field of a message.

    Attributes:
        number: of the field.
        kind: how it is stored.
        start: where its key begins.
        content: where what it holds begins.
        end: where the next one begins.
    """

    number: int
    kind: int
    start: int
    content: int
    end: int


class Rest(NamedTuple):
    """A model without the data of its large weights.

    Attributes:
        content: the message.
        weights: position among the initializers -> first byte of what was left out in the file, and first byte behind it.
    """

    content: bytes
    weights: Mapping[int, tuple[int, int]]


def without_weights(content: mmap.mmap | bytes) -> Rest | None:
    """What is left of a file without the data of large initializers; None where the file is damaged or has what exporters do not write."""
    try:
        graphs = [field for field in _fields(content, 0, len(content)) if field.number == GRAPH_OF_MODEL]
        if len(graphs) != 1 or graphs[0].kind != LENGTH_DELIMITED:
            return None  # several are joined by protobuf
        (graph,) = graphs
        pieces, weights, place = list[bytes](), dict[int, tuple[int, int]](), graph.content
        tensors = [field for field in _fields(content, graph.content, graph.end) if field.number == INITIALIZER_OF_GRAPH]
        for position, tensor in enumerate(tensors):
            data = _raw_data(content, tensor)
            if data is not None and data.end - data.content >= SMALLEST:
                weights[position] = (data.content, data.end)
                left = content[tensor.content : data.start] + content[data.end : tensor.end]
                pieces += [content[place : tensor.start], head(INITIALIZER_OF_GRAPH, len(left)), left]
                place = tensor.end
    except ValueError:
        return None
    pieces.append(content[place : graph.end])
    inside = b"".join(pieces)
    return Rest(content[: graph.start] + head(GRAPH_OF_MODEL, len(inside)) + inside + content[graph.end :], weights)


def _raw_data(content: mmap.mmap | bytes, tensor: Field) -> Field | None:
    """Of a tensor; None where it has none.

    Raises:
        ValueError: it says that its data are elsewhere, or has them twice.
    """
    fields = list(_fields(content, tensor.content, tensor.end))
    data = [field for field in fields if field.number == RAW_DATA_OF_TENSOR]
    if (
        len(data) > 1
        or any(field.kind != LENGTH_DELIMITED for field in (tensor, *data))
        or any(field.number in (EXTERNAL_DATA_OF_TENSOR, LOCATION_OF_TENSOR) for field in fields)
    ):
        raise ValueError
    return data[0] if data else None


def _fields(content: mmap.mmap | bytes, place: int, end: int) -> Iterator[Field]:
    """Of the message between two places.

    Raises:
        ValueError: it is damaged, or has fields of a kind that protobuf gave up.
    """
    while place < end:
        start = place
        key, place = _varint(content, place, end)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            size, place = 0, _varint(content, place, end)[1]
        elif kind == LENGTH_DELIMITED:
            size, place = _varint(content, place, end)
        elif kind in FIXED:
            size = FIXED[kind]
        else:
            raise ValueError
        if place + size > end:
            raise ValueError
        yield Field(number, kind, start, place, place + size)
        place += size


def _varint(content: mmap.mmap | bytes, place: int, end: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest ones first, and where the next thing begins."""
    value = 0
    for shift in range(min(LONGEST_VARINT, end - place)):
        byte = content[place + shift]
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return value, place + shift + 1
    raise ValueError
