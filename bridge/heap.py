"""Memory that has been freed and not given back, by Python's collector or by the C library."""

import contextlib
import ctypes
import gc
from collections.abc import Iterator

# New objects between two collections. Graphs of thousands of nodes are kept to the end and have few cycles: with Python's own 700 a fifth of the time
# that a conversion of 2,000 nodes takes goes into looking through all of them, with this a fiftieth.
YOUNG_OBJECTS = 20_000


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


def give_back() -> None:
    """Returns it to the system, where the C library can: a model of 100 MB left 150 to 250 MB behind in a stage."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc alone
    if trim is not None:
        trim(0)
