"""Zeros and distinct values of weights in the float and the quantized file, and what gzip makes of both files."""

import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct

from bridge import heap
from bridge.clustering import MANY, MIN_VALUES
from bridge.tflite import model as tflite
from bridge.types import ConvertedModel, QuantizedModel

LARGEST_FILE = 1 << 26  # gzip takes about 3 s for these 64 MiB where they shrink much
LEVEL = 6  # of the gzip command
GZIP_FORMAT = zlib.MAX_WBITS | 16  # with the header and the end of gzip
PIECE = 1 << 20  # bytes
LARGE_FILE = 4 * PIECE
QUICKEST = 1  # level of ISA-L that packs at all
HARDLY = 0.88  # of its bytes are left of a piece without zeros and clusters, whatever packs it
LARGE_WEIGHT = 1 << 18  # values, of which a glance shows whether they are worth sorting: that takes 9 ms for so many
GLANCE = 2 * MANY
ENOUGH = MANY + MANY // 8  # of them, where nearly all values differ
COUNTED = 1 << 16  # integers that are counted at a time


class WeightCompression(Struct, frozen=True):
    """One weight in both files.

    Attributes:
        node: the user's node.
        tensor: its name in the float file.
        values: how many it has.
        float_zeros, quantized_zeros: share of zeros, 0 .. 1.
        float_distinct, quantized_distinct: distinct values in the whole tensor as stored; None for a tensor of LARGE_WEIGHT floats and more in which a
            glance finds more than MANY.
        scales: different scales of the integers; a clustered tensor has one for all channels.
    """

    node: str
    tensor: str
    values: int
    float_zeros: float
    quantized_zeros: float
    float_distinct: int | None
    quantized_distinct: int
    scales: int


class Compression(Struct, frozen=True):
    """The report's `compression` block.

    Attributes:
        float_zeros, quantized_zeros: share over all rows of `weights`, None without any.
        float_distinct, quantized_distinct: the most in any row, None without any, and where one was not counted.
        float_gzip_bytes, quantized_gzip_bytes: None for a file of more than 64 MiB.
        weights: in the order of computation.
    """

    float_zeros: float | None
    quantized_zeros: float | None
    float_distinct: int | None
    quantized_distinct: int | None
    float_gzip_bytes: int | None
    quantized_gzip_bytes: int | None
    weights: tuple[WeightCompression, ...]


def gzip_bytes(path: Path, steps: Callable[[Iterator[bytes]], Iterator[bytes]] = iter) -> int | None:
    """Size of a file after gzip, None where it is too large to try.

    Args:
        path: the file; a large one counts as a gzip file of a member for each piece.
        steps: hands out the pieces of the file, maybe not all of them where nobody waits for the size any more.
    """
    size = path.stat().st_size
    if size > LARGEST_FILE:
        return None
    with path.open("rb") as file:
        pieces = steps(iter(lambda: file.read(PIECE), b""))
        if size > LARGE_FILE:
            return sum(map(_member_bytes, pieces))
        packer = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP_FORMAT)
        return sum(len(packer.compress(piece)) for piece in pieces) + len(packer.flush())


def _member_bytes(piece: bytes) -> int:
    """Of a piece after gzip.

    Looking long for what repeats gains nothing in weights without zeros and clusters: what ISA-L leaves of them in a seventeenth of the time is within 1 % of what
    the gzip command leaves.
    """
    from isal import isal_zlib  # here alone, for large files

    quick = len(isal_zlib.compress(piece, QUICKEST, GZIP_FORMAT))
    return quick if quick > HARDLY * len(piece) else len(zlib.compress(piece, LEVEL, GZIP_FORMAT))


def measure_compression(converted: ConvertedModel, quantized: QuantizedModel, *, gzipped: Callable[[Path], int | None] = gzip_bytes) -> Compression:
    """Counts in both files; weights of fewer than 64 values, and those that the quantized file does not hold in integers, have no row.

    Args:
        converted: the float file.
        quantized: the quantized file.
        gzipped: says what `gzip_bytes` says.
    """
    rows = tuple(_rows(converted, quantized))
    heap.unmap_files()  # all of their weights were read
    return Compression(
        float_zeros=_mean(rows, [row.float_zeros for row in rows]),
        quantized_zeros=_mean(rows, [row.quantized_zeros for row in rows]),
        float_distinct=_most([row.float_distinct for row in rows]),
        quantized_distinct=_most([row.quantized_distinct for row in rows]),
        float_gzip_bytes=gzipped(converted.path),
        quantized_gzip_bytes=gzipped(quantized.path),
        weights=rows,
    )


def _rows(converted: ConvertedModel, quantized: QuantizedModel) -> Iterator[WeightCompression]:
    before, after = tflite.read_once(converted.path), tflite.read_once(quantized.path)
    floats, integers = tflite.main_graph(before), tflite.main_graph(after)
    unpacked = {
        int(op.outputs[0]): int(op.inputs[0]) for name, op in zip(tflite.op_names(after), integers.operators, strict=True) if name == "DEQUANTIZE"
    }
    seen = set()
    for outcome in quantized.ops:
        if outcome.quantized_index is None:
            continue
        pairs = zip(floats.operators[outcome.index].inputs.tolist(), integers.operators[outcome.quantized_index].inputs.tolist(), strict=False)
        for source, stored in ((floats.tensors[a], integers.tensors[unpacked.get(b, b)]) for a, b in pairs if a >= 0 and b >= 0):
            if source.name in seen or not _is_weight(before, source) or not _is_integer_constant(after, stored):
                continue
            seen.add(source.name)
            values, integer = tflite.constant(before, source), tflite.integers(after, stored)
            yield WeightCompression(
                node=converted.tensor_map.owners[outcome.index],
                tensor=tflite.text(source.name),
                values=values.size,
                float_zeros=_zeros(values),
                quantized_zeros=_zeros(integer),
                float_distinct=distinct_floats(values),
                quantized_distinct=distinct_integers(integer),
                scales=len(np.unique(stored.quantization.scale)),
            )


def _is_weight(model: tflite.ModelT, tensor: tflite.TensorT) -> bool:
    constant = tflite.is_constant(model, tensor) and tflite.TYPE_NAMES[tensor.type] == "FLOAT32"
    return constant and len(tflite.shape(tensor)) > 1 and math.prod(tflite.shape(tensor)) >= MIN_VALUES


def _is_integer_constant(model: tflite.ModelT, tensor: tflite.TensorT) -> bool:
    return tflite.is_constant(model, tensor) and tflite.TYPE_NAMES[tensor.type] in ("INT8", "INT4")


def distinct_floats(values: np.ndarray) -> int | None:
    """None for a large tensor that is not clustered: values that are evenly spread over it show that."""
    flat = values.reshape(-1)
    if flat.size >= LARGE_WEIGHT:
        some = flat[:: flat.size // GLANCE]
        if any(len(np.unique(seen)) > MANY for seen in (some[:ENOUGH], some)):
            return None
    return len(np.unique(flat))


def distinct_integers(values: np.ndarray) -> int:
    """Of int8: each of the 256 codes is there or not."""
    codes, seen = values.reshape(-1).view(np.uint8), np.zeros(256, np.bool_)
    most = 256 if values.min(initial=0) == -128 else 255  # symmetric weights leave out the lowest one
    for start in range(0, codes.size, COUNTED):
        seen |= np.bincount(codes[start : start + COUNTED], minlength=256) > 0
        if seen.sum() == most:
            break
    return int(seen.sum())


def _most(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return max(known) if known and len(known) == len(counts) else None


def _zeros(values: np.ndarray) -> float:
    return 1.0 - np.count_nonzero(values) / values.size


def _mean(rows: tuple[WeightCompression, ...], shares: list[float]) -> float | None:
    return float(np.average(shares, weights=[row.values for row in rows])) if rows else None
