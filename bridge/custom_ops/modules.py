"""The user's modules that register operators: only those are imported that the user names, on the command line or in the settings of the folder."""

import importlib
import sys
from collections.abc import Iterable
from pathlib import Path

from bridge import configuration
from bridge.errors import UsageError


def configured_modules(folder: Path) -> tuple[str, ...]:
    """`custom_ops` of the settings in a folder; empty without them.

    Raises:
        UsageError: the settings cannot be read, or the key is no list of names.
    """
    found = configuration.read(folder)
    names = found.values.get("custom_ops", []) if found else []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        where = found.where if found else ""
        raise UsageError(f"{where}custom_ops is no list of module names. Received: {names!r}.", hint='custom_ops = ["my_package.ops"]')
    return tuple(names)


def load_modules(modules: Iterable[str]) -> None:
    """Imports modules for what they register, also from the current folder; one that is imported already stays as it is.

    Raises:
        UsageError: a module cannot be found, or fails on its way.
    """
    for name in modules:
        if name not in sys.modules:
            _load(name, str(Path.cwd()))


def _load(name: str, folder: str) -> None:
    sys.path.insert(0, folder)
    try:
        importlib.import_module(name)
    except UsageError:
        raise
    except ModuleNotFoundError as error:
        raise UsageError(
            f"--custom-ops {name}: there is no module {error.name!r}.", hint=f"Searched in {folder} and among the installed ones."
        ) from error
    except Exception as error:  # the user's own code, which may raise anything
        raise UsageError(f"--custom-ops {name}: importing it raised {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(folder)
