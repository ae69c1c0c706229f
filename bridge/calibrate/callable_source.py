"""Samples from a function of the user, named `module:function` or `path/to/file.py:function`."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType

import numpy as np

from bridge.calibrate.dataset import Dataset, from_arrays
from bridge.calibrate.stream import as_array, from_stream
from bridge.errors import InputError
from bridge.types import TensorSpec

ABOUT = "It takes no argument and returns arrays [samples, ...] by input name, or yields samples."


def find_function(name: str) -> Callable[[], object]:
    """The function that `module:function` names; modules are looked for in the current folder first. Importing runs the module.

    Raises:
        InputError: there is no such module or function, or importing it fails.
    """
    module_name, _, function_name = name.rpartition(":")
    if not module_name or not function_name:
        raise InputError(f"{name!r} names no function.", hint="Write it as module:function, or path/to/file.py:function.")
    found: object = _module(module_name)
    for part in function_name.split("."):
        if not hasattr(found, part):
            guess = get_close_matches(part, [known for known in vars(found) if not known.startswith("_")], n=1)
            raise InputError(f"{module_name} has no function {function_name!r}{f', did you mean {guess[0]!r}?' if guess else '.'}")
        found = getattr(found, part)
    if not callable(found):
        raise InputError(f"{name} is no function. Received: {type(found).__name__}.", hint=ABOUT)
    return found


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
        raise InputError(f"{where} raised {type(error).__name__}: {' '.join(str(error).split())[:300]}", hint=ABOUT) from error
    if isinstance(result, Mapping):
        return from_arrays({str(name): as_array(value, f"{where}: {name!r}") for name, value in result.items()}, inputs, source=where, limit=limit)
    if isinstance(result, np.ndarray) and len(inputs) == 1:
        return from_arrays({inputs[0].name: result}, inputs, source=where, limit=limit)
    if isinstance(result, str | bytes) or not isinstance(result, Iterable):
        raise InputError(f"{where} gives no samples. Received: {type(result).__name__}.", hint=ABOUT)
    return from_stream(result, inputs, where=where, limit=limit)


def _module(name: str) -> ModuleType:
    path = Path(name)
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        if path.suffix == ".py":
            return _from_file(path)
        return importlib.import_module(name)
    except InputError:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise InputError(
                f"There is no module {name!r} in {here} or among the installed ones.", hint="Check the name before the colon."
            ) from error
        raise InputError(f"{name} imports {error.name!r}, which is not installed.", hint="Install it in the environment of bridge.") from error
    except Exception as error:  # the user's own code, which may raise anything
        raise InputError(f"Importing {name} raised {type(error).__name__}: {' '.join(str(error).split())[:300]}") from error
    finally:
        sys.path.remove(here)


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise InputError(f"{path}: there is no such file.", hint="Check the path before the colon.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path}: no Python module.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
