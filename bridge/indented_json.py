"""JSON with one space per level, as `json.dumps(..., indent=1)` writes it, which does so without its C encoder and takes five times as long."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any

from msgspec import Struct


def indented(value: object, *, ascii_only: bool = True) -> str:
    """The text of mappings with names as keys, sequences, structs and dataclasses (the mapping of their fields) and what JSON has else; infinity and NaN as JavaScript's.

    Args:
        value: left as it is.
        ascii_only: everything else as escapes.
    """
    return _text(value, "\n", encode_basestring_ascii if ascii_only else encode_basestring)


def _text(value: object, line: str, quoted: Callable[[str], str]) -> str:
    """Of a part; `line` begins a line of the level that it stands on."""
    if isinstance(value, str):
        return quoted(value)
    if value is None:
        return "null"
    if type(value) is int:
        return repr(value)
    if isinstance(value, float) and math.isfinite(value):
        return float.__repr__(value)
    inner = line + " "
    if isinstance(value, (list, tuple)):
        return f"[{inner}{f',{inner}'.join([_text(one, inner, quoted) for one in value])}{line}]" if value else "[]"
    if names := field_names(value):
        entries = [f"{quoted(name)}: {_text(getattr(value, name), inner, quoted)}" for name in names]
    elif isinstance(value, Mapping):
        entries = [f"{quoted(name)}: {_text(one, inner, quoted)}" for name, one in value.items()]
    else:
        return json.dumps(value)
    return f"{{{inner}{f',{inner}'.join(entries)}{line}}}" if entries else "{}"


def plain(value: object) -> Any:
    """Mappings for structs and dataclasses, and lists for tuples, at every depth; the rest as it is."""
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if names := field_names(value):
        return {name: plain(getattr(value, name)) for name in names}
    return {name: plain(one) for name, one in value.items()} if isinstance(value, Mapping) else value


def field_names(value: object) -> tuple[str, ...]:
    """Of a struct or a dataclass, in their order; none of anything else."""
    if isinstance(value, Struct):
        return value.__struct_fields__
    return _names(type(value)) if is_dataclass(value) and not isinstance(value, type) else ()


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))
