"""TFLite files that are run and not kept: on disk, where the system maps them, without a name."""

import contextlib
import functools
import mmap
import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Self

import numpy as np

from bridge import heap
from bridge.files import write_pieces
from bridge.tflite.pages import ALIGNMENT, Pages

LARGE = 64 << 20  # bytes of a file that is opened once and not for each thread
WRITTEN = 16 << 20  # bytes that were read to write them, whose pages are worth giving back
SPARE = 2  # files that wait for the next ones: one of the float file, one of what is made of it
ROOM = 4  # times what a head takes, for later ones that are larger; nothing is written there


class _Spare:
    """Files that nobody has any more, for the next ones to be written over them: pages that are there are written three times as fast as new ones."""

    def __init__(self) -> None:
        self.wanted = 0
        self._files: list[Pages] = []  # without a lock, which the collector of Python could ask for twice: each call of a list is one step

    def take(self, constants: Sequence[np.ndarray]) -> Pages:
        """The file that holds most of these, else one that holds nothing of use; who takes it writes what is missing."""
        files = [one for one in self._files if one.process == os.getpid()]
        for one in files:
            one.forget_what_is_gone()
        best = max(files, key=lambda one: one.worth(constants), default=None)
        if best is not None and not best.worth(constants):
            best = next((one for one in files if one.is_empty), None)
        with contextlib.suppress(ValueError):  # another thread has it
            if best is not None:
                self._files.remove(best)
                return best
        return Pages()

    def leave(self, pages: Pages) -> None:
        """For a file that nobody has any more; one that a process was forked with the other process may have."""
        if not self.wanted or pages.process != os.getpid():
            pages.close()
            return
        self._files.append(pages)
        self.drop(all_but=SPARE)

    def drop(self, *, all_but: int = 0) -> None:
        """Closes files until so many are left."""
        while len(self._files) > all_but:
            with contextlib.suppress(IndexError):
                self._files.pop(0).close()


_spare = _Spare()


@contextlib.contextmanager
def pages_used_again() -> Iterator[None]:
    """A stretch of work in which files are written over those that are gone; the last ones go at its end."""
    _spare.wanted += 1
    try:
        yield
    finally:
        _spare.wanted -= 1
        if not _spare.wanted:
            _spare.drop()


class RunFile:
    """A file that is gone when nobody has it any more; whoever opens it keeps this object as long as what was opened.

    Its pages are the system's to drop, where the same bytes in the memory of the process would have to stay.

    Args:
        pieces: position in the file, and what stands there; what lies between them says nothing.
        outputs: tensors that are its outputs, where whoever makes it knows them.

    Attributes:
        size: bytes of what was to be in it.
        end: of all that is in it.

    Raises:
        OSError: there is no room for it.
    """

    def __init__(self, pieces: Iterable[tuple[int, memoryview | bytes | np.ndarray]], outputs: Sequence[int] = ()) -> None:
        self._begin(_spare.take(()), outputs)
        self._pages.empty(0)
        self.end = self._write(pieces)
        self._pages.cut(self.end)
        self._finish(self.end, written=self.end)

    @classmethod
    def arranged(
        cls,
        constants: Sequence[np.ndarray],
        room: int,
        head: Callable[[Sequence[int]], memoryview],
        *,
        outputs: Sequence[int] = (),
        alone: bool = False,
    ) -> Self:
        """A file of a head and constants behind it. What lies in a file that nobody has any more is not written again.

        Args:
            constants: uint8 of one axis.
            room: bytes that the head takes, more or less.
            head: gives it for the positions of the constants.
            outputs: as above.
            alone: the file holds nothing else, since it will be mapped to be changed.

        Raises:
            OSError: there is no room for it.
        """
        file = cls.__new__(cls)
        file._begin(_spare.take(() if alone else constants), outputs)
        pages, total = file._pages, room + sum(one.size + ALIGNMENT for one in constants)
        if alone or pages.is_empty or pages.room < room or pages.end > 2 * total + pages.room:
            pages.empty(ROOM * room)
        while True:  # where the constants begin has to be known before
            places = pages.places(constants)
            content = head(places)
            if len(content) <= pages.room:
                break
            pages.empty(ROOM * len(content))
        if pages.is_empty:
            pages.cut(max([len(content), *(place + one.size for place, one in zip(places, constants, strict=True))]))

        def missing() -> Iterator[tuple[int, memoryview | np.ndarray]]:
            yield 0, content
            for place, one in zip(places, constants, strict=True):
                if pages.place(one) is None:
                    yield place, one  # goes on when it is written
                    if not alone:
                        pages.remember(place, one)

        written = sum(one.size for one in constants if pages.place(one) is None)
        file._write(missing())
        file.end = os.fstat(pages.handle).st_size
        file._finish(len(content) + sum(one.size for one in constants), written=written)
        return file

    def _begin(self, pages: Pages, outputs: Sequence[int]) -> None:
        self._pages, self.outputs = pages, tuple(outputs)
        self._gone = weakref.finalize(self, functools.partial(_spare.leave, pages))

    def _write(self, pieces: Iterable[tuple[int, memoryview | bytes | np.ndarray]]) -> int:
        """Where the last one of them ends."""
        end = 0
        with open(self._pages.handle, "r+b", closefd=False) as file:
            for position, piece in pieces:
                content = np.frombuffer(piece, np.uint8)
                file.seek(position)
                write_pieces(file, content)
                end = max(end, position + content.size)
        return end

    def _finish(self, size: int, *, written: int) -> None:
        self.size = size
        if size > LARGE or written > WRITTEN:
            heap.unmap_files()

    @property
    def path(self) -> str:
        """What this process opens it by."""
        return f"/dev/fd/{self._pages.handle}"

    def grow(self, size: int) -> None:
        """Adds zeros at its end."""
        self._pages.cut(size)
        self.end = size

    def mapped(self) -> mmap.mmap:
        """Its bytes; who writes to them changes the file, and may have them longer than this object."""
        self.outputs = ()  # for all that is known from here on
        self._gone.detach()
        self._gone = weakref.finalize(self, self._pages.close)
        return mmap.mmap(self._pages.handle, 0)
