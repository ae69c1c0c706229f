"""Functions of the user, named `module:function` or `path/to/file.py:function`."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType

from bridge.errors import InputError


def find_function(name: str, *, about: str = "") -> Callable[..., object]:
    """The function that `module:function` names; modules are looked for in the current folder first. Importing runs the module.

    Args:
        name: `module:function` or `path/to/file.py:function`.
        about: what the function is expected to do, for the hint of an error.

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
        raise InputError(f"{name} is no function. Received: {type(found).__name__}.", hint=about)
    return found


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
