"""TFLite flatbuffers as objects of the generated schema, which itself reads the many small tables (tensors, operators, buffers) six times as slowly."""

import mmap
import struct
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

VTABLE_HEAD = 4  # bytes: its own size, that of the table
ABSENT = 0
INDICES = "<i4"
# A vector of tables can hold one table a million times, and that one its own million: what is read counts, and is no more than the file allows.
TABLE_BYTES = 8  # an offset and what a table without fields takes
SHARED = 4  # times the size of the file, as equal shapes and indices can stand in it once
SPARE_BYTES = 1 << 20
# The classes of an operator's options; the generated code compares the type with each of them in turn.
_OPTIONS: Mapping[int, type] = MappingProxyType(
    {code: getattr(schema, f"{name}T") for name, code in vars(schema.BuiltinOptions).items() if hasattr(schema, f"{name}T")}
)


def unpack(content: bytes | mmap.mmap) -> Any:
    """A whole file, as `ModelT.InitFromPackedBuf` gives it.

    Raises:
        Exception: of any kind, where an offset leads nowhere.
    """
    root = _Rest()
    tables = Tables(content)
    root.Init(content, tables.target(0))
    model = schema.ModelT.InitFromObj(root)
    _, _, subgraphs, _, buffers = tables.fields(tables.target(0), 5)
    model.subgraphs = None if subgraphs == ABSENT else [_subgraph(tables, one) for one in tables.each(subgraphs)]
    model.buffers = None if buffers == ABSENT else [_buffer(tables, one) for one in tables.each(buffers)]
    return model


def shallow_copy(one: Any) -> Any:
    """Like `copy.copy` of an object of the schema, at a fifth of its time: options and arrays are shared."""
    if one is None:
        return None
    made = object.__new__(type(one))
    made.__dict__ = one.__dict__.copy()
    return made


def with_views(model: Any, content: mmap.mmap, tensors: Iterable[int]) -> Any:
    """The model that a file was packed from, with some tensors of its main graph, and what their buffers hold, as views of the file that can be written to."""
    tables = Tables(content)
    _, _, subgraphs, _, buffers = tables.fields(tables.target(0), 5)
    places, holders = tables.each(tables.fields(tables.each(subgraphs)[0], 1)[0]), tables.each(buffers)
    made = shallow_copy(model)
    made.buffers, made.subgraphs = list(model.buffers), [shallow_copy(graph) for graph in model.subgraphs]
    main = made.subgraphs[0]
    main.tensors = list(main.tensors)
    for index in tensors:
        one = main.tensors[index] = _tensor(tables, places[index])
        held = made.buffers[one.buffer] = _buffer(tables, holders[one.buffer])
        if held.offset:  # behind the flatbuffer
            held.data, held.offset, held.size = np.frombuffer(content, np.uint8, held.size, held.offset), 0, 0
    return made


class _Rest(schema.Model):  # type: ignore[misc]  # the generated schema carries no types
    """A model but for what there are many of."""

    def SubgraphsIsNone(self) -> bool:  # noqa: N802  # overrides generated methods
        return True

    def BuffersIsNone(self) -> bool:  # noqa: N802
        return True


class _RestOfGraph(schema.SubGraph):  # type: ignore[misc]  # likewise
    """A subgraph but for what there are many of."""

    def TensorsIsNone(self) -> bool:  # noqa: N802
        return True

    def OperatorsIsNone(self) -> bool:  # noqa: N802
        return True


class Tables:
    """The bytes of a file; positions are absolute, 0 stands for what is not there."""

    def __init__(self, content: bytes | mmap.mmap) -> None:
        self.content = content
        self._left = SHARED * len(content) + SPARE_BYTES
        self._vtables: dict[tuple[int, int], tuple[int, ...]] = {}
        self._options: dict[tuple[int, bytes, bytes], Any] = {}
        self._signed = struct.Struct("<i").unpack_from
        self._unsigned = struct.Struct("<I").unpack_from

    def spend(self, count: int) -> None:
        """Counts bytes that are read once more."""
        self._left -= count
        if self._left < 0:
            raise ValueError("its parts refer to each other so often that it would take far more memory than it has bytes")

    def fields(self, table: int, count: int) -> list[int]:
        """Positions of the first fields of a table."""
        return [table + offset if offset else ABSENT for offset in self.vtable(table, count)]

    def vtable(self, table: int, count: int) -> tuple[int, ...]:
        """Offsets of the first fields of a table; tables of one layout share them."""
        place = table - self._signed(self.content, table)[0]
        found = self._vtables.get((place, count))
        if found is None:
            known = (struct.unpack_from("<H", self.content, place)[0] - VTABLE_HEAD) // 2
            offsets: tuple[int, ...] = struct.unpack_from(f"<{min(known, count)}H", self.content, place + VTABLE_HEAD)
            found = self._vtables[place, count] = offsets + (ABSENT,) * (count - len(offsets))
        return found

    def target(self, place: int) -> int:
        """What an offset refers to."""
        return place + int(self._unsigned(self.content, place)[0])

    def number(self, place: int, code: str) -> int:
        """A number; 0 where it is not there."""
        return int(struct.unpack_from(code, self.content, place)[0]) if place else 0

    def vector(self, place: int, dtype: str) -> np.ndarray | None:
        """A view."""
        if not place:
            return None
        start = self.target(place)
        count = self._unsigned(self.content, start)[0]
        if dtype == INDICES:
            self.spend(4 * count)  # read one by one
        return np.frombuffer(self.content, dtype, count, start + 4)

    def text(self, place: int) -> bytes | None:
        """A string."""
        if not place:
            return None
        start = self.target(place)
        count = self._unsigned(self.content, start)[0]
        self.spend(count)
        return self.content[start + 4 : start + 4 + count]

    def each(self, place: int) -> list[int]:
        """The tables of a vector."""
        start = self.target(place)
        offsets = np.frombuffer(self.content, "<u4", self._unsigned(self.content, start)[0], start + 4)
        self.spend(TABLE_BYTES * len(offsets))
        found: list[int] = (offsets + np.arange(start + 4, start + 4 + 4 * len(offsets), 4)).tolist()
        return found

    def options(self, kind: int, place: int) -> Any:
        """The options of an operator, None for a kind that the schema does not know.

        Most are numbers and nothing else, so that equal bytes are equal options.
        """
        if not place or kind not in _OPTIONS:
            return None
        table = self.target(place)
        vtable = table - self._signed(self.content, table)[0]
        own, size = struct.unpack_from("<HH", self.content, vtable)
        key = (kind, self.content[vtable : vtable + own], self.content[table + 4 : table + size])
        known = self._options.get(key)
        if known is not None:
            return shallow_copy(known)
        found = _OPTIONS[kind].InitFromBuf(self.content, table)  # type: ignore[attr-defined]  # of the generated schema
        if all(isinstance(value, int | float) for value in vars(found).values()):
            self._options[key] = shallow_copy(found)
        return found


def _subgraph(tables: Tables, table: int) -> Any:
    rest = _RestOfGraph()
    rest.Init(tables.content, table)
    graph = schema.SubGraphT.InitFromObj(rest)
    tensors, _, _, operators = tables.fields(table, 4)
    graph.tensors = None if tensors == ABSENT else [_tensor(tables, one) for one in tables.each(tensors)]
    graph.operators = None if operators == ABSENT else [_operator(tables, one) for one in tables.each(operators)]
    return graph


def _tensor(tables: Tables, table: int) -> Any:
    shape, kind, buffer, name, quantization, variable, sparsity, signature, ranked, variants, external = tables.fields(table, 11)
    if sparsity or variants:
        return schema.TensorT.InitFromBuf(tables.content, table)
    return schema.TensorT(
        tables.vector(shape, INDICES),
        tables.number(kind, "<b"),
        tables.number(buffer, "<I"),
        tables.text(name),
        _quantization(tables, tables.target(quantization)) if quantization else None,
        bool(tables.number(variable, "<B")),
        None,
        tables.vector(signature, INDICES),
        bool(tables.number(ranked, "<B")),
        None,
        tables.number(external, "<I"),
    )


def _quantization(tables: Tables, table: int) -> Any:
    minimum, maximum, scale, zero_point, _, details, axis = tables.fields(table, 7)
    if details:
        return schema.QuantizationParametersT.InitFromBuf(tables.content, table)
    return schema.QuantizationParametersT(
        tables.vector(minimum, "<f4"),
        tables.vector(maximum, "<f4"),
        tables.vector(scale, "<f4"),
        tables.vector(zero_point, "<i8"),
        quantizedDimension=tables.number(axis, "<i"),
    )


def _operator(tables: Tables, table: int) -> Any:
    code, inputs, outputs, kind, options, custom, custom_format, mutating, inner, offset, size, second, _, metadata = tables.fields(table, 14)
    if second or custom_format or mutating or offset or size or metadata:
        return schema.OperatorT.InitFromBuf(tables.content, table)
    known = tables.number(kind, "<B")
    return schema.OperatorT(
        tables.number(code, "<I"),
        tables.vector(inputs, INDICES),
        tables.vector(outputs, INDICES),
        known,
        tables.options(known, options),
        tables.vector(custom, "<u1"),
        intermediates=tables.vector(inner, INDICES),
    )


def _buffer(tables: Tables, table: int) -> Any:
    data, offset, size = tables.fields(table, 3)
    return schema.BufferT(tables.vector(data, "<u1"), tables.number(offset, "<Q"), tables.number(size, "<Q"))
