"""Writes flatbuffers as the generated schema packs them, byte for byte, in about half the time of flatbuffers' own builder."""

import functools
import mmap
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

import flatbuffers
import numpy as np

LARGE = 1 << 16  # bytes of data that are not copied
BUFFER_ALIGNMENT = 16  # the runtime maps weights in place and asks for aligned data
LAYOUTS = 4096  # that are remembered; the files of a conversion have some hundred
OFFSET = "I"  # of a field that refers to something written before
OFFSET_BYTES = 4
COUNT = struct.Struct("<I")
UINT8 = np.dtype(np.uint8).char


class _Layout(NamedTuple):
    """Where the fields of a table stand that begins at a certain alignment.

    Attributes:
        size: bytes from the begin of the table to its end, what aligns it included.
        pack_into: writes the offset of the vtable and the fields, the last one first.
        offsets: position among the fields, the last one first, and bytes from the begin of the table of each that is an offset.
        vtable: packed.
        alignment: the largest one.
    """

    size: int
    pack_into: Callable[..., None]
    offsets: tuple[tuple[int, int], ...]
    vtable: bytes
    alignment: int


class VectorBuilder(flatbuffers.Builder):  # type: ignore[misc]  # flatbuffers carries no types
    """Aligns constant data for the runtime, and stores equal parameter vectors (zero points, scales, shapes) once.

    A per-channel weight needs 20 bytes of scales and zero points per channel, its bias as many: on a YOLOX-Nano 5 % of the int8 file are
    zero points that are all 0.

    Args:
        size: bytes to begin with.
        apart: equal parameter vectors are stored as often as there are some.
        referring: large data are not copied, so that the file is what `pieces` gives.
    """

    def __init__(self, size: int, *, apart: bool = False, referring: bool = False) -> None:
        super().__init__(0 if referring and size <= self.MAX_BUFFER_SIZE else size)
        if referring:
            self.Bytes, self.head = mmap.mmap(-1, max(1, size)), max(1, size)  # of which those pages alone take memory that are written to
        self.apart, self._referring = apart, referring
        self._large: list[tuple[int, np.ndarray]] = []  # where they begin, from the end of the file
        self._vectors: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: np.ndarray) -> int:  # noqa: N802  # overrides flatbuffers' method, as those below
        """Writes an array, aligned if it is data of a constant, else once for all that are equal."""
        if x.dtype == np.uint8:
            self.Prep(BUFFER_ALIGNMENT, x.size)
            return self._copied(np.ascontiguousarray(x))
        if self.apart:
            return int(super().CreateNumpyVector(x))
        key = (x.dtype.str, x.tobytes())
        if key not in self._vectors:
            self._vectors[key] = int(super().CreateNumpyVector(x))
        return self._vectors[key]

    def _copied(self, x: np.ndarray) -> int:
        """The bytes straight into the file: flatbuffers' own way makes two more copies of every weight."""
        self.StartVector(1, x.size, 1)
        self.head = self.Head() - x.size
        if self._referring and x.size >= LARGE:
            self._large.append((len(self.Bytes) - self.head, x))
        else:
            with memoryview(self.Bytes) as whole:
                whole[self.Head() : self.Head() + x.size] = memoryview(x)
        self.vectorNumElems = x.size
        return int(self.EndVector())

    def pieces(self) -> Iterator[memoryview | np.ndarray]:
        """The bytes of the finished file, from its start."""
        whole, place = memoryview(self.Bytes), self.Head()
        for distance, data in reversed(self._large):
            begin = len(whole) - distance
            yield whole[place:begin]
            yield data
            place = begin + data.size
        yield whole[place:]


class Builder(VectorBuilder):
    """Writes a table whole when it ends.

    Tables with the same fields at the same alignment have the same layout, which is computed once; flatbuffers' own way goes through ten calls for each
    field.
    """

    def __init__(self, size: int, *, apart: bool = False, referring: bool = False) -> None:
        super().__init__(size, apart=apart, referring=referring)
        self.minalign = 1
        self._fields: list[tuple[int, str]] = []  # slot and format of each field of the table at work
        self._values: list[int | float] = []
        self._tables: dict[bytes, int] = {}  # vtable -> where it is, from the end

    def StartObject(self, numfields: int) -> None:  # noqa: N802
        """Begins a table."""
        del numfields
        self.assertNotNested()
        self.nested = True
        self._fields, self._values = [], []

    def EndObject(self) -> int:  # noqa: N802
        """Writes the table; returns where it is, from the end of the file."""
        self.assertNested()
        self.nested = False
        end: int = len(self.Bytes) - self.head
        layout = _layout(end % BUFFER_ALIGNMENT, tuple(self._fields))
        if layout.alignment > self.minalign:
            self.minalign = layout.alignment
        here = end + layout.size
        values = self._values[::-1]
        for position, distance in layout.offsets:
            values[position] = here - distance - int(values[position])
        table = self._tables.get(layout.vtable)
        if self.head < layout.size + len(layout.vtable):
            self._room(layout.size + len(layout.vtable))
        self.head -= layout.size
        start = self.head
        if table is None:
            self.head -= len(layout.vtable)
            self.Bytes[self.head : start] = layout.vtable
            table = self._tables[layout.vtable] = here + len(layout.vtable)
        layout.pack_into(self.Bytes, start, table - here, *values)
        return here

    def chunk(self, content: bytes, alignment: int) -> int:
        """Writes bytes that begin at a multiple of the alignment; returns where they are, from the end of the file."""
        self.assertNotNested()
        self.minalign = max(self.minalign, alignment)
        size = len(content) + -(len(self.Bytes) - self.head + len(content)) % alignment
        self._room(size)
        self.head -= size
        self.Bytes[self.head : self.head + len(content)] = content
        return int(self.Offset())

    def CreateNumpyVector(self, x: np.ndarray) -> int:  # noqa: N802
        """Like that of `VectorBuilder`; the numbers of a vector are written at once."""
        kind = x.dtype.char
        if kind == UINT8 or not x.dtype.isnative:
            return int(super().CreateNumpyVector(x))
        key = kind, x.tobytes()
        known = None if self.apart else self._vectors.get(key)
        if known is None:
            known = self._vectors[key] = self._vector(x.size, key[1], max(OFFSET_BYTES, x.itemsize))
        return known

    def CreateString(self, s: str | bytes, encoding: str = "utf-8", errors: str = "strict") -> int:  # noqa: N802
        """Writes a text with the zero behind it."""
        content = s.encode(encoding, errors) if isinstance(s, str) else bytes(s)
        return self._vector(len(content), content + b"\0", OFFSET_BYTES)

    def _vector(self, count: int, content: bytes, alignment: int) -> int:
        """Writes so many elements, the first of which is aligned."""
        self.assertNotNested()
        if alignment > self.minalign:
            self.minalign = alignment
        before, length = len(self.Bytes) - self.head, OFFSET_BYTES + len(content)
        size = length + (OFFSET_BYTES - before - length) % alignment
        if self.head < size:
            self._room(size)
        self.head -= size
        self.Bytes[self.head : self.head + length] = COUNT.pack(count) + content
        return int(before + size)

    def PrependUOffsetTRelative(self, off: int) -> None:  # noqa: N802
        """Adds an offset to a vector, which has aligned itself."""
        here = len(self.Bytes) - self.head
        if not self.nested or here % OFFSET_BYTES:
            super().PrependUOffsetTRelative(off)
            return
        self._room(OFFSET_BYTES)
        self.head -= OFFSET_BYTES
        struct.pack_into("<I", self.Bytes, self.head, here + OFFSET_BYTES - off)

    def PrependUOffsetTRelativeSlot(self, o: int, x: int, d: int) -> None:  # noqa: N802
        """Adds an offset to the table at work."""
        if x != d:
            self._fields.append((o, OFFSET))
            self._values.append(x)

    def PrependStructSlot(self, v: int, x: int, d: int) -> None:  # noqa: N802
        """Nothing that TFLite's schema needs."""
        raise NotImplementedError("TFLite's schema has no structs")

    def _room(self, needed: int) -> None:
        while self.head < needed:
            before = len(self.Bytes)
            self.GrowByteBuffer()
            self.head += len(self.Bytes) - before


def _slot(code: str) -> Callable[[Builder, int, int | float, int | float], None]:
    """Adds a number to the table at work, but for the value that readers take where there is none."""

    def prepend(self: Builder, o: int, x: int | float, d: int | float) -> None:
        if x != d:
            self._fields.append((o, code))
            self._values.append(x)

    return prepend


for _name, _code in (
    ("Bool", "?"), ("Byte", "B"), ("Uint8", "B"), ("Uint16", "H"), ("Uint32", "L"), ("Uint64", "Q"), ("Int8", "b"), ("Int16", "h"),
    ("Int32", "i"), ("Int64", "q"), ("Float32", "f"), ("Float64", "d"),
):  # fmt: skip
    setattr(Builder, f"Prepend{_name}Slot", _slot(_code))


@functools.lru_cache(LAYOUTS)
def _layout(end: int, fields: tuple[tuple[int, str], ...]) -> _Layout:
    """The layout of a table whose fields are written in this order, backwards from `end` bytes before the end of the file (modulo the alignment)."""
    place, alignment, places = end, OFFSET_BYTES, []
    for _, code in (*fields, (-1, OFFSET)):
        size = struct.calcsize(f"<{code}")
        alignment = max(alignment, size)
        place += -place % size + size
        places.append(place)
    size = place - end
    slots = [0] * (max((slot for slot, _ in fields), default=-1) + 1)
    template, at = "<i", OFFSET_BYTES
    for (slot, code), written in zip(reversed(fields), reversed(places[:-1]), strict=True):
        slots[slot] = place - written
        template += f"{place - written - at}x{code}"
        at = place - written + struct.calcsize(f"<{code}")
    template += f"{size - at}x"
    vtable = struct.pack(f"<{len(slots) + 2}H", 2 * (len(slots) + 2), size, *slots)
    offsets = [
        (position, place - written)
        for position, ((_, code), written) in enumerate(zip(reversed(fields), reversed(places[:-1]), strict=True))
        if code == OFFSET
    ]
    return _Layout(size, struct.Struct(template).pack_into, tuple(offsets), vtable, alignment)
