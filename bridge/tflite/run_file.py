"""TFLite files that are run and not kept: on disk, where the system maps them, without a name."""

import mmap
import os
import tempfile
import weakref
from collections.abc import Iterable

import numpy as np

from bridge import heap
from bridge.files import write_pieces

LARGE = 64 << 20  # bytes of a file whose pages are worth giving back


class RunFile:
    """A file that is gone when nobody has it any more; what was opened from it keeps what it has mapped.

    Its pages are the system's to drop, where the same bytes in the memory of the process would have to stay.

    Args:
        pieces: position in the file, and what stands there; zeros between them.

    Attributes:
        size: bytes.

    Raises:
        OSError: there is no room for it.
    """

    def __init__(self, pieces: Iterable[tuple[int, memoryview | bytes | np.ndarray]]) -> None:
        with tempfile.TemporaryFile(prefix="bridge-") as file:
            for position, piece in pieces:
                file.seek(position)
                write_pieces(file, np.frombuffer(piece, np.uint8))
            file.flush()
            self.size = file.seek(0, os.SEEK_END)
            self._handle = os.dup(file.fileno())
        if self.size > LARGE:
            heap.unmap_files()
        weakref.finalize(self, os.close, self._handle)

    @property
    def path(self) -> str:
        """What this process opens it by."""
        return f"/dev/fd/{self._handle}"

    def mapped(self) -> mmap.mmap:
        """Its bytes; who writes to them changes the file."""
        return mmap.mmap(self._handle, 0)
