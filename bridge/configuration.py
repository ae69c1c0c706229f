"""Options that a repository keeps for every run: the table `[tool.bridge]` of pyproject.toml, or a bridge.toml, in the current folder."""

import difflib
import inspect
import tomllib
import typing
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from bridge import toml_text
from bridge.errors import UsageError

MAX_BYTES = 4 << 20
OWN, SHARED, TABLE = "bridge.toml", "pyproject.toml", "tool.bridge"


class Configuration(Struct, frozen=True):
    """Keys and values as the file has them, hyphens in keys as underscores; `where` names the file and the table in errors."""

    where: str
    values: Mapping[str, object]


def read(folder: Path) -> Configuration | None:
    """What a folder's files say, None where neither says anything.

    Raises:
        UsageError: a file is no TOML, `[tool.bridge]` is no table, or both files have settings.
    """
    own, shared = _toml(folder / OWN), _toml(folder / SHARED)
    tools = (shared or {}).get("tool", {})
    table = tools.get("bridge", {}) if isinstance(tools, dict) else {}
    if not isinstance(table, dict):
        raise UsageError(f"{folder / SHARED}: {TABLE} is no table. Received: {table!r}.", hint=f"[{TABLE}] begins a table.")
    if own is not None and table:
        raise UsageError(f"{folder / OWN} and [{TABLE}] of {folder / SHARED} both have settings.", hint="Keep one of them.")
    where, found = (f"{folder / OWN}: ", own) if own is not None else (f"{folder / SHARED}: {TABLE}.", table)
    return Configuration(where, {key.replace("-", "_"): value for key, value in found.items()}) if found else None


def _toml(path: Path) -> dict[str, object] | None:
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise UsageError(f"{path}: a file of settings has at most {MAX_BYTES >> 20} MiB.")
        return toml_text.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{path}: cannot be read: {error}.") from error


def defaults(configuration: Configuration, command: Callable[..., None]) -> dict[str, object]:
    """Parameters of a command by what the file says, for those that it says something about.

    Args:
        configuration: every key of it has to be an option of the command.
        command: a function whose parameters are annotated with the options of the command line; a key is spelt like the long option, `no_recover`.

    Raises:
        UsageError: a key that no option has, or a value of another type.
    """
    options = _options(command)
    for key in configuration.values:
        if key not in options:
            near = difflib.get_close_matches(key, options, 1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known keys: {', '.join(sorted(options))}."
            raise UsageError(f"{configuration.where}{key}: there is no such option.", hint=hint)
    return {options[key][0]: _checked(value, options[key][1], f"{configuration.where}{key}") for key, value in configuration.values.items()}


def _options(command: Callable[..., None]) -> dict[str, tuple[str, object]]:
    """Key -> parameter and its type."""
    found: dict[str, tuple[str, object]] = {}
    for name, hint in typing.get_type_hints(command, include_extras=True).items():
        if name in inspect.signature(command).parameters and (keys := _keys(name, hint)):
            found |= dict.fromkeys(keys, (name, typing.get_args(hint)[0]))
    return found


def _keys(name: str, hint: object) -> list[str]:
    """How the options of a parameter are spelt in a file; none for an argument. Of `--compare/--no-compare` the first stands there."""
    (option,) = typing.get_args(hint)[1:]
    if type(option).__name__ != "OptionInfo":
        return []
    spelt = [str(one).split("/")[0] for one in (option.default, *(option.param_decls or ())) if str(one).startswith("--")]
    return [one.removeprefix("--").replace("-", "_") for one in spelt] or [name]


def _checked(value: object, kind: object, where: str) -> object:
    from pydantic import TypeAdapter, ValidationError  # slow to load, and few folders have settings

    several = list[str] in (kind, *typing.get_args(kind))
    adapter: TypeAdapter[object] = TypeAdapter(kind)  # type: ignore[arg-type]  # the type of an option is a value here
    try:
        checked = adapter.validate_python([value] if several and isinstance(value, str) else value, strict=isinstance(value, bool))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UsageError(f"{where}: {first['msg']}. Received: {value!r}.", hint="It takes what the option of the same name takes.") from error
    return str(checked) if isinstance(checked, Path) else checked
