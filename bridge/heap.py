"""Memory that has been freed and not given back, by Python's collector or by the C library."""

import contextlib
import ctypes
import functools
import gc
import mmap
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

# New objects between two collections. Graphs of thousands of nodes are kept to the end and have few cycles: with Python's own 700 a fifth of the time
# that a conversion of 2,000 nodes takes goes into looking through all of them, with this a hundredth; the peak of memory stays.
YOUNG_OBJECTS = 100_000

M_MMAP_THRESHOLD, M_ARENA_MAX, LARGE_BLOCK = -3, -8, 4 << 20
WORTH_UNMAPPING = 4 << 20  # bytes of a file; to find its pages takes a millisecond
POPULATE_READ = 22  # advice of Linux 5.14 and newer, which Python has no name for
TFLITE_SUFFIX, LIBRARY = ".tflite", ".so"
MAPPINGS = Path("/proc/self/maps")  # of Linux alone
SHARED, CODE = "s", "r-xp"  # rights of pages that are the same as in their file: others may hold what was never written there


class _Process:
    """Whether it does nothing but our work; else its collector, heaps and code are left to whoever called us."""

    ours = False


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """A stretch of imports in a process that ends with its work: Python does not look for garbage meanwhile, and never looks through what they made."""
    _Process.ours = True
    was_on, modules = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
        if len(sys.modules) > modules:
            gc.freeze()


@contextlib.contextmanager
def seldom_collected() -> Iterator[None]:
    """A stretch of work in which Python looks less often for objects that refer to each other and to which nothing else does."""
    before = gc.get_threshold()
    if before[0]:  # else whoever called has switched it off
        gc.set_threshold(max(before[0], YOUNG_OBJECTS), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


@functools.cache
def _library() -> ctypes.CDLL:
    """What is loaded, the C library among it."""
    return ctypes.CDLL(None)


def give_back() -> None:
    """Returns it to the system, where the C library can: a model of 100 MB left 150 to 250 MB behind in a stage.

    In a process of ours the code of libraries goes as well: most of what is in memory of it was run once, when they were loaded. What runs again comes back
    from the system's cache. In another one somebody may have changed it where it lies, as debuggers do, and that would be lost.
    """
    _unmap(code=_Process.ours)
    trim = getattr(_library(), "malloc_trim", None)  # of glibc alone
    if trim is not None:
        trim(0)


def return_large_blocks() -> None:
    """Lets glibc return every block of 4 MB when it is freed; else it keeps those of up to 32 MB as soon as the first of them was freed.

    What is smaller comes in a process of ours from one heap for all threads: of heaps of their own each keeps what its thread has freed, where no other
    thread finds it. Other processes may have threads that would wait for each other there.
    """
    with contextlib.suppress(AttributeError):
        _library().mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)
        if _Process.ours:
            _library().mallopt(M_ARENA_MAX, 1)


def fetch(address: int, size: int) -> None:
    """Brings the pages of mapped bytes into memory at once, where the system can: fetching each when it is looked at takes three times as long."""
    start = address & -mmap.PAGESIZE
    _madvise()(start, address + size - start, POPULATE_READ)


def _madvise() -> Callable[[int, int, int], int]:
    advise = _library().madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return advise


def unmap_files() -> None:
    """Takes the pages of mapped TFLite files and of files in the temporary folder out of the memory of the process until they are looked at again.

    They stay in the system's cache, where the system can do that. LiteRT reads every weight of a file once, to pack it, and not again.
    """
    _unmap(code=False)


def _unmap(*, code: bool) -> None:
    if not MAPPINGS.is_file():
        return
    advise, temporary = _madvise(), f"{tempfile.gettempdir()}{os.sep}"
    for line in MAPPINGS.read_text().splitlines():
        addresses, rights, _, _, _, *path = line.split(maxsplit=5)
        ours = path and (path[0].endswith(TFLITE_SUFFIX) or path[0].startswith(temporary))
        if (ours and rights.endswith(SHARED)) or (code and path and rights == CODE and LIBRARY in path[0]):
            begin, end = (int(address, 16) for address in addresses.split("-"))
            advise(begin, end - begin, mmap.MADV_DONTNEED)
