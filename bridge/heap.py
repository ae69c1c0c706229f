"""Memory that the C library keeps for itself after others have freed it."""

import ctypes


def give_back() -> None:
    """Returns it to the system, where the C library can: a model of 100 MB left 150 to 250 MB behind in a stage."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc alone
    if trim is not None:
        trim(0)
