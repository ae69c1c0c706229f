"""The pages of files that are run and not kept, and which constants they hold: those of a model are the same in many files."""

import mmap
import os
import tempfile
import weakref
from collections.abc import Sequence

import numpy as np

ALIGNMENT = 64  # of constants
SMALLEST = 1 << 16  # bytes of a constant that is worth knowing

_all: "weakref.WeakSet[Pages]" = weakref.WeakSet()


class Pages:
    """A file without a name: room for a head, then constants of mapped files that need not be written again, then what is written each time.

    A constant is known by where it is mapped, and only as long as it is; who changes mapped bytes says so to `changed`.

    Attributes:
        handle: of the file.
        process: that opened it.
        room: bytes in front of the constants.
        end: of the constants that are known.
    """

    def __init__(self) -> None:
        with tempfile.TemporaryFile(prefix="bridge-", buffering=0) as file:
            self.handle = os.dup(file.fileno())
        self.process, self.room, self.end = os.getpid(), 0, 0
        self._known: dict[tuple[int, int], tuple[int, weakref.ref[mmap.mmap]]] = {}
        _all.add(self)

    @property
    def is_empty(self) -> bool:
        """Whether no constant is known."""
        return not self._known

    def close(self) -> None:
        """The file is gone unless it is mapped."""
        os.close(self.handle)

    def empty(self, room: int) -> None:
        """Nothing is known of it any more."""
        self.room, self._known = aligned(room), {}
        self.end = self.room

    def cut(self, end: int) -> None:
        """What lies behind is gone."""
        os.ftruncate(self.handle, end)

    def place(self, constant: np.ndarray) -> int | None:
        """Where it is, None where it is not known."""
        found = self._known.get(_key(constant)) if constant.size >= SMALLEST else None
        return found[0] if found is not None and found[1]() is mapping(constant) else None

    def places(self, constants: Sequence[np.ndarray]) -> list[int]:
        """Where each is or is to be written, those that can be known first."""
        found = [self.place(one) for one in constants]
        end = self.end
        for lasting in (True, False):
            for index, one in enumerate(constants):
                if found[index] is None and _is_lasting(one) is lasting:
                    found[index], end = end, aligned(end + one.size)
        return [place for place in found if place is not None]

    def remember(self, place: int, constant: np.ndarray) -> None:
        """It was written there."""
        file = mapping(constant)
        if file is not None and constant.size >= SMALLEST:
            self._known[_key(constant)] = (place, weakref.ref(file))
            self.end = max(self.end, aligned(place + constant.size))

    def worth(self, constants: Sequence[np.ndarray]) -> int:
        """Bytes of those that need not be written."""
        return sum(one.size for one in constants if self.place(one) is not None)

    def forget_what_is_gone(self) -> None:
        """Constants whose mapping is."""
        self._known = {key: found for key, found in self._known.items() if found[1]() is not None}

    def forget(self, constant: np.ndarray) -> None:
        """It is another one now."""
        self._known.pop(_key(constant), None)


def changed(constant: np.ndarray) -> None:
    """Mapped bytes of a constant have been written to, so that no file holds it any more."""
    for pages in list(_all) if constant.size >= SMALLEST else ():
        pages.forget(constant)


def aligned(place: int) -> int:
    """The next place where a constant may begin."""
    return -(-place // ALIGNMENT) * ALIGNMENT


def _key(constant: np.ndarray) -> tuple[int, int]:
    return constant.__array_interface__["data"][0], constant.size


def _is_lasting(constant: np.ndarray) -> bool:
    return constant.size >= SMALLEST and mapping(constant) is not None


def mapping(constant: np.ndarray) -> mmap.mmap | None:
    """What it is a view of, None where that is no file."""
    base = constant.base
    while isinstance(base, np.ndarray):
        base = base.base
    found = base.obj if isinstance(base, memoryview) else base
    return found if isinstance(found, mmap.mmap) else None
