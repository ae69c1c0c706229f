"""What was computed from the constants of float files, once for all graphs that are read from the same mapped file."""

import mmap
import os
import tempfile
import threading
import weakref
from dataclasses import dataclass, field

import numpy as np

from bridge.quantize.forms import Form
from bridge.tflite.pages import SMALLEST, mapping

type Known = dict[tuple[object, ...], "Facts"]


class Shelf:
    """A file without a name for arrays, whose memory is the system's to drop."""

    def __init__(self) -> None:
        with tempfile.TemporaryFile(prefix="bridge-", buffering=0) as file:
            self._handle = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._handle)
        self._end, self._lock, self._process = 0, threading.Lock(), os.getpid()

    def kept(self, value: np.ndarray) -> np.ndarray | None:
        """The same values as a view of the file, which nobody writes to; None in a process that was forked, which has the file together with another one.

        Raises:
            OSError: there is no room for it.
        """
        if self._process != os.getpid():
            return None
        with self._lock:
            start, self._end = self._end, self._end + -(-value.nbytes // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
        os.pwrite(self._handle, np.ascontiguousarray(value).data, start)
        content = mmap.mmap(self._handle, value.nbytes, access=mmap.ACCESS_READ, offset=start)
        return np.frombuffer(content, value.dtype).reshape(value.shape)


@dataclass(slots=True, eq=False)
class Facts:
    """Of one constant.

    Attributes:
        shelf: where what is stored of it is kept, None where that is not worth it.
        peak: largest magnitude.
        magnitudes: channel axis -> largest magnitude of each channel.
        common_scales: type -> the scale of a clustered weight.
        stored: the first form it was stored in, and what is stored.
    """

    shelf: Shelf | None = None
    peak: float | None = None
    magnitudes: dict[int | None, np.ndarray] = field(default_factory=dict)
    common_scales: dict[str, float | None] = field(default_factory=dict)
    stored: tuple[Form, np.ndarray] | None = None

    def keep(self, form: Form, data: np.ndarray) -> np.ndarray | None:
        """What is stored of it in its first form, from now on; None where it is not kept."""
        if self.shelf is None or self.stored is not None:
            return None
        kept = self.shelf.kept(data)
        if kept is not None:
            self.stored = form, kept
        return kept


_files: "weakref.WeakKeyDictionary[mmap.mmap, tuple[Shelf, Known]]" = weakref.WeakKeyDictionary()


def facts_of(value: np.ndarray) -> Facts:
    """What is known of a constant: of one in a mapped file that nobody writes to as long as it is mapped, else nothing yet."""
    file = mapping(value)
    if file is None or value.flags.writeable:
        return Facts()
    found = _files.get(file)
    if found is None:
        found = _files[file] = Shelf(), {}
    shelf, known = found
    key = (value.__array_interface__["data"][0], value.shape, value.dtype.str)
    return known.setdefault(key, Facts(shelf if value.nbytes >= SMALLEST else None))
