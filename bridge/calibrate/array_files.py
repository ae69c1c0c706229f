"""Opens `.npz` and `.npy` files of strangers: no pickle, sizes known before anything is unpacked, arrays mapped from the file where it allows it."""

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import numpy as np

from bridge.errors import InputError

MAX_ARRAYS = 100_000
MAX_UNPACKED_BYTES = 2 << 30  # of one compressed array, which has to be unpacked into memory; uncompressed ones are mapped and have no bound
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


@dataclass(frozen=True, slots=True)
class StoredArray:
    """An array of a file, known by its header; `read` gives its first `count` rows.

    Attributes:
        name: the array's name, empty in a .npy file.
        shape: with the leading axis of samples.
        dtype: as in the file, maybe of the other byte order.
        read: number of rows -> array; a read-only mapping of the file or an array of its own. Raises InputError when the file is damaged.
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
    return {"": StoredArray("", shape, dtype, lambda count: _map(path, offset, shape, fortran, dtype)[:count])}


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
        return StoredArray(name, shape, dtype, lambda count: _read_stored(path, info, header_bytes, shape, fortran, dtype)[:count])
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


def _map(path: Path, offset: int, shape: tuple[int, ...], fortran: bool, dtype: np.dtype[np.generic]) -> np.ndarray:
    """A read-only view of the file's bytes, whose end was not checked before."""
    available = path.stat().st_size - offset
    if dtype.itemsize * _count(shape) > available:
        raise InputError(
            f"{path}: cut off: shape {list(shape)} of {dtype} needs {dtype.itemsize * _count(shape)} bytes, {available} are there.",
            code="data-unreadable",
        )
    if _count(shape) == 0:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, "r", offset, shape, "F" if fortran else "C")


def _read_stored(
    path: Path, info: zipfile.ZipInfo, header_bytes: int, shape: tuple[int, ...], fortran: bool, dtype: np.dtype[np.generic]
) -> np.ndarray:
    """An uncompressed member, mapped after its checksum is verified."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(info) as member:
            while member.read(CHUNK_BYTES):
                pass
        with path.open("rb") as file:
            file.seek(info.header_offset)
            start = info.header_offset + LOCAL_HEADER.size + sum(LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size)))
    except DAMAGE as error:
        raise InputError(f"{path}: array {info.filename!r} is damaged: {_quoted(error)}.", code="data-unreadable") from error
    return _map(path, start + header_bytes, shape, fortran, dtype)


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
