"""Samples from a function of the user."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from bridge.calibrate.dataset import Dataset, from_arrays
from bridge.calibrate.stream import as_array, from_stream
from bridge.errors import InputError
from bridge.types import TensorSpec

ABOUT = "It takes no argument and returns arrays [samples, ...] by input name, or yields samples."


def from_function(function: Callable[[], object], inputs: Sequence[TensorSpec], *, where: str, limit: int | None = None) -> Dataset:
    """The samples that a function returns as arrays [samples, ...], or as a stream.

    Raises:
        InputError: it raises, returns something else, or what it returns does not fit the inputs.
    """
    try:
        result = function()
    except InputError:
        raise
    except Exception as error:  # the user's own code, which may raise anything
        raise InputError(
            f"{where} raised {type(error).__name__}: {' '.join(str(error).split())[:300]}", hint=ABOUT, code="data-unreadable"
        ) from error
    if isinstance(result, Mapping):
        return from_arrays({str(name): as_array(value, f"{where}: {name!r}") for name, value in result.items()}, inputs, source=where, limit=limit)
    if isinstance(result, np.ndarray) and len(inputs) == 1:
        return from_arrays({inputs[0].name: result}, inputs, source=where, limit=limit)
    if isinstance(result, str | bytes) or not isinstance(result, Iterable):
        raise InputError(f"{where} gives no samples. Received: {type(result).__name__}.", hint=ABOUT, code="data-unreadable")
    return from_stream(result, inputs, where=where, limit=limit)
