"""Opens `.npz` and `.npy` files of strangers: no pickle, sizes known before anything is unpacked, arrays left in the file where it allows it."""

import os
import struct
import tokenize
import weakref
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Protocol

import numpy as np
from msgspec import Struct

from bridge.errors import InputError

MAX_ARRAYS = 100_000
MAX_UNPACKED_BYTES = 2 << 30  # of one compressed array, which has to be unpacked into memory; uncompressed ones stay in the file and have no bound
CHUNK_BYTES = 1 << 20
LOCAL_HEADER = struct.Struct("<26xHH")  # of a zip member: lengths of the name and of the extra field (APPNOTE 4.3.7)

# What broken bytes raise in zipfile, zlib and NumPy's header reader, which takes the header apart as Python source.
DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError, EOFError, ValueError, TypeError, KeyError, IndexError, OverflowError,
    NotImplementedError, RuntimeError, SyntaxError,
)  # fmt: skip
NUMPYS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # compressions; the others raise errors of their own
MAX_QUOTED = 160  # characters of a foreign message, which may hold the file's own bytes


class Rows(Protocol):
    """What a data set needs of an array [N, *sample shape]: its rows, one by one."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> np.ndarray: ...


class StoredArray(Struct, frozen=True):
    """An array of a file, known by its header; `read` gives its first `count` rows.

    Attributes:
        name: the array's name, empty in a .npy file.
        shape: with the leading axis of samples.
        dtype: as in the file, maybe of the other byte order.
        read: number of rows -> array; rows that stay in the file, or an array. Raises InputError when the file is damaged.
        finite: whether its values are known to be finite.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    read: Callable[[int], Rows]
    finite: bool = False


def open_arrays(path: Path) -> Mapping[str, StoredArray]:
    """The arrays of a file by name; only their headers are read.

    Raises:
        InputError: the file is missing, damaged, of another kind, or holds Python objects.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(
            f"{path}: data files are {' or '.join(READERS)}. Received: {path.suffix or 'a name without an ending'}.", code="data-unreadable"
        )
    try:
        return reader(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}.", hint="Check the path of the data.", code="data-unreadable") from error
    except DAMAGE as error:
        raise InputError(
            f"{path}: not a readable {path.suffix.lower()} file: {_quoted(error)}.", hint="Write it again with numpy.savez.", code="data-unreadable"
        ) from error


def _open_npy(path: Path) -> dict[str, StoredArray]:
    with path.open("rb") as file:
        shape, fortran, dtype = _header(file, str(path))
        offset = file.tell()
    return {"": StoredArray("", shape, dtype, lambda count: _rows(path, offset, shape, fortran, dtype, count))}


def _open_npz(path: Path) -> dict[str, StoredArray]:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) > MAX_ARRAYS:
            raise InputError(f"{path}: at most {MAX_ARRAYS} arrays are read. Received: {len(members)}.", code="data-unsafe")
        return {array.name: array for array in (_member(path, archive, info) for info in members if info.filename.endswith(".npy"))}


def _member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> StoredArray:
    name = info.filename.removesuffix(".npy")
    if info.compress_type not in NUMPYS:
        raise InputError(
            f"{path}: array {name!r} is compressed in a way that NumPy does not write.",
            hint="Write it again with numpy.savez.",
            code="data-unreadable",
        )
    with archive.open(info) as file:
        shape, fortran, dtype = _header(file, f"{path}: array {name!r}")
        header_bytes = file.tell()
    expected = header_bytes + dtype.itemsize * _count(shape)
    if info.file_size != expected:
        raise InputError(f"{path}: array {name!r} of shape {list(shape)} takes {expected} bytes, the file says {info.file_size}.", code="data-unsafe")
    if info.compress_type == zipfile.ZIP_STORED:
        return StoredArray(name, shape, dtype, lambda count: _read_stored(path, info, header_bytes, shape, fortran, dtype, count))
    if info.file_size > MAX_UNPACKED_BYTES:
        raise InputError(
            f"{path}: array {name!r} would unpack to {info.file_size / 2**30:.1f} GiB; at most {MAX_UNPACKED_BYTES / 2**30:.0f} GiB are unpacked.",
            hint="Write it with numpy.savez instead of numpy.savez_compressed: then it is read from the file sample by sample.",
            code="data-unsafe",
        )
    return StoredArray(name, shape, dtype, lambda count: _unpack(path, info, shape, fortran, dtype, count))


def _header(file: IO[bytes], where: str) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    """Shape, Fortran order and dtype from the header of the .npy format.

    Source: numpy.lib.format, "Format Version 1.0" and "2.0"; 3.0 only adds names of structured types.
    """
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(file)
    if version not in readers:
        raise ValueError(f"unknown version {version} of the .npy format")
    shape, fortran, dtype = readers[version](file)
    if dtype.hasobject or dtype.fields is not None:
        raise InputError(
            f"{where}: holds Python objects or records, which are never loaded. Received: dtype {dtype}.",
            hint="Save plain numeric arrays.",
            code="data-unsafe",
        )
    return tuple(int(size) for size in shape), bool(fortran), dtype


def _quoted(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return text if len(text) <= MAX_QUOTED else f"{text[:MAX_QUOTED]}..."


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        if size < 0:
            raise ValueError(f"negative size in shape {shape}")
        count *= size
    return count


class _RowsInFile:
    """Rows of an array in C order that stays in its file: each is read when it is asked for, so that memory does not grow with those seen before.

    Args:
        path: the file; later changes of its name do not matter.
        offset: of the first row.
        shape: [N, *sample shape], as many rows as are wanted.
        dtype: of the values.
    """

    def __init__(self, path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> None:
        self._path, self._offset, self._shape, self._dtype = path, offset, shape, dtype
        self._row_bytes = dtype.itemsize * _count(shape[1:])
        self._file = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        weakref.finalize(self, os.close, self._file)

    def __len__(self) -> int:
        return self._shape[0]

    def __getitem__(self, row: int) -> np.ndarray:
        start, row_bytes = self._offset + range(len(self))[row] * self._row_bytes, self._row_bytes
        content = os.pread(self._file, row_bytes, start)
        while 0 < len(content) < row_bytes:  # the system gives 2 GiB at most
            more = os.pread(self._file, row_bytes - len(content), start + len(content))
            content = content + more if more else b""
        if len(content) < row_bytes:
            raise InputError(f"{self._path}: it became shorter while it was read.", code="data-unreadable")
        return np.frombuffer(content, self._dtype).reshape(self._shape[1:])

    def __array__(self, dtype: np.dtype[np.generic] | None = None, copy: bool | None = None) -> np.ndarray:
        """All rows."""
        del copy
        return np.stack([self[row] for row in range(len(self))]).astype(dtype or self._dtype, copy=False)

    def __reduce__(self) -> tuple[Callable[..., np.ndarray], tuple[np.ndarray]]:
        """As an array of its own: another machine does not have the file."""
        return np.asarray, (np.asarray(self),)


def _rows(path: Path, offset: int, shape: tuple[int, ...], fortran: bool, dtype: np.dtype[np.generic], count: int) -> Rows:
    """The first rows of an array in a file, whose end was not checked before."""
    available = path.stat().st_size - offset
    if dtype.itemsize * _count(shape) > available:
        raise InputError(
            f"{path}: cut off: shape {list(shape)} of {dtype} needs {dtype.itemsize * _count(shape)} bytes, {available} are there.",
            code="data-unreadable",
        )
    if _count(shape) == 0:
        return np.zeros(shape, dtype)[:count]
    if fortran or not shape:
        whole: np.ndarray = np.memmap(path, dtype, "r", offset, shape, "F" if fortran else "C")
        return whole[:count] if shape else whole
    return _RowsInFile(path, offset, (min(count, shape[0]), *shape[1:]), dtype)


def _read_stored(
    path: Path, info: zipfile.ZipInfo, header_bytes: int, shape: tuple[int, ...], fortran: bool, dtype: np.dtype[np.generic], count: int
) -> Rows:
    """The first rows of an uncompressed member, after its checksum is verified."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(info) as member:
            while member.read(CHUNK_BYTES):
                pass
        with path.open("rb") as file:
            file.seek(info.header_offset)
            start = info.header_offset + LOCAL_HEADER.size + sum(LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size)))
    except DAMAGE as error:
        raise InputError(f"{path}: array {info.filename!r} is damaged: {_quoted(error)}.", code="data-unreadable") from error
    return _rows(path, start + header_bytes, shape, fortran, dtype, count)


def _unpack(path: Path, info: zipfile.ZipInfo, shape: tuple[int, ...], fortran: bool, dtype: np.dtype[np.generic], count: int) -> np.ndarray:
    """The first rows of a compressed member; all of them when the array is in Fortran order or wanted whole, checksum included."""
    rows = shape if fortran or not shape else (min(count, shape[0]), *shape[1:])
    try:
        with zipfile.ZipFile(path) as archive, archive.open(info) as member:
            _header(member, str(path))
            content = member.read(dtype.itemsize * _count(rows))
            if rows == shape:
                member.read(1)  # the checksum is compared at the end of the member
        return np.frombuffer(content, dtype).reshape(rows, order="F" if fortran else "C")[:count]
    except DAMAGE as error:
        raise InputError(f"{path}: array {info.filename!r} is damaged: {_quoted(error)}.", code="data-unreadable") from error


READERS: Mapping[str, Callable[[Path], dict[str, StoredArray]]] = {".npz": _open_npz, ".npy": _open_npy}
