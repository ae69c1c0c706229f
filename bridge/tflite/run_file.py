"""TFLite files that are run and not kept: on disk, where the system maps them, without a name."""

import contextlib
import functools
import mmap
import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from bridge import heap
from bridge.files import write_pieces

LARGE = 64 << 20  # bytes of a file that is opened once and not for each thread


class _Spare:
    """A file that nobody has any more, for the next one to be written over it: pages that are there are written three times as fast as new ones."""

    def __init__(self) -> None:
        self.wanted = 0
        self._handles: list[int] = []  # without a lock, which the collector of Python could ask for twice: each call of a list is one step

    def take(self) -> int:
        """A file to write to, from its start."""
        with contextlib.suppress(IndexError):
            return self._handles.pop()
        with tempfile.TemporaryFile(prefix="bridge-", buffering=0) as file:
            return os.dup(file.fileno())

    def leave(self, handle: int, process: int) -> None:
        """For a file that nobody has any more; one that a process was forked with the other process may have."""
        if not self.wanted or process != os.getpid():
            os.close(handle)
            return
        self._handles.append(handle)
        self.drop(all_but=1)

    def drop(self, *, all_but: int = 0) -> None:
        """Closes files until so many are left."""
        while len(self._handles) > all_but:
            with contextlib.suppress(IndexError):
                os.close(self._handles.pop(0))


_spare = _Spare()


@contextlib.contextmanager
def pages_used_again() -> Iterator[None]:
    """A stretch of work in which files are written over those that are gone; the last one goes at its end."""
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
        size: bytes.

    Raises:
        OSError: there is no room for it.
    """

    def __init__(self, pieces: Iterable[tuple[int, memoryview | bytes | np.ndarray]], outputs: Sequence[int] = ()) -> None:
        self._handle, self.size, self.outputs = _spare.take(), 0, tuple(outputs)
        self._gone = weakref.finalize(self, functools.partial(_spare.leave, self._handle, os.getpid()))
        with open(self._handle, "r+b", closefd=False) as file:
            for position, piece in pieces:
                content = np.frombuffer(piece, np.uint8)
                file.seek(position)
                write_pieces(file, content)
                self.size = max(self.size, position + content.size)
            file.truncate(self.size)
        if self.size > heap.WORTH_UNMAPPING:
            heap.unmap_files()

    @property
    def path(self) -> str:
        """What this process opens it by."""
        return f"/dev/fd/{self._handle}"

    def grow(self, size: int) -> None:
        """Adds zeros at its end."""
        os.ftruncate(self._handle, size)
        self.size = size

    def mapped(self) -> mmap.mmap:
        """Its bytes; who writes to them changes the file, and may have them longer than this object."""
        self.outputs = ()  # for all that is known from here on
        self._gone.detach()
        self._gone = weakref.finalize(self, functools.partial(os.close, self._handle))
        return mmap.mmap(self._handle, 0)
