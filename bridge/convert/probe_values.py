"""What the tensors of a model hold for the probe inputs: in memory as long as it is little, else on disk, and mapped when they are looked at."""

import mmap
import tempfile
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

ALIGNMENT = 64
FEW = 16 << 20  # bytes that stay in memory: to write thousands of small values to disk takes five times as long
LOOKED_AT = 16 << 20  # bytes after which the pages that were looked at leave the memory of the process; they stay in the system's cache


class Place(NamedTuple):
    """Where a tensor lies: offset in the file, shape and type of one run."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]


class ProbeValues[Key: Hashable](Mapping[Key, np.ndarray]):
    """[P, *shape] per tensor that every run showed with one shape and type, in the order of the first run; read only.

    All in memory would be twice what a model computes for one sample, and that on both sides of a proof.

    Args:
        runs: of each probe the tensors with their values, taken one after the other; no value is kept.
        count: how many runs there are, P.

    Raises:
        OSError: there is no room for them.
    """

    def __init__(self, runs: Iterable[Iterable[tuple[Key, np.ndarray]]], count: int) -> None:
        self._count, self._looked_at = count, 0
        self._places: dict[Key, Place] = {}
        end, seen = 0, dict[Key, int]()
        with tempfile.SpooledTemporaryFile(prefix="bridge-") as file:
            for number, run in enumerate(runs):
                for key, value in run:
                    if number == 0:
                        self._places[key] = Place(end, value.shape, value.dtype)
                        end += -(-count * value.nbytes // ALIGNMENT) * ALIGNMENT
                        if end > FEW:
                            file.rollover()
                    place = self._places.get(key)
                    if place is not None and (value.shape, value.dtype) == (place.shape, place.dtype):
                        file.seek(place.offset + number * value.nbytes)
                        file.write(np.ascontiguousarray(value).reshape(-1).view(np.uint8))
                        seen[key] = seen.get(key, 0) + 1
            file.seek(end)
            file.write(b"\0")  # so that everything lies within it, tensors without elements too
            self._content = _in_memory(file) if end <= FEW else _mapped(file)
        self._places = {key: place for key, place in self._places.items() if seen[key] == count}

    def __getitem__(self, key: Key) -> np.ndarray:
        place = self._places[key]
        if self._looked_at > LOOKED_AT:
            if isinstance(self._content, mmap.mmap):
                self._content.madvise(mmap.MADV_DONTNEED)
            self._looked_at = 0
        found = np.ndarray((self._count, *place.shape), place.dtype, self._content, place.offset)
        self._looked_at += found.nbytes
        return found

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def __iter__(self) -> Iterator[Key]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _in_memory(file: tempfile.SpooledTemporaryFile[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _mapped(file: tempfile.SpooledTemporaryFile[bytes]) -> mmap.mmap:
    file.flush()
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
