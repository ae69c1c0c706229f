"""What is wrong with a rule file, one sentence per fault, from pydantic's findings."""

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from bridge.rules.matchers import KINDS
from bridge.rules.schema import Rule, RuleDocument
from bridge.rules.toml_lines import TomlPath, line_of
from bridge.rules.wording import closest, cut, listed, shortened

SHOWN = 10  # faults of one file that are worth reading at once


def sentences(error: ValidationError, document: Mapping[str, object], lines: Mapping[TomlPath, int], label: str) -> tuple[str, ...]:
    """`label:line: rules.0.match.0: what is wrong. Received: value`, one per fault, in the order of the file."""
    faults: dict[TomlPath, tuple[list[str], object]] = {}
    for detail in error.errors(include_url=False):
        path = _toml_path(detail, document)
        if detail["type"] == "too_short" and _at(document, path):
            continue  # it has entries, and each one's own fault is listed
        texts, _ = faults.setdefault(path, ([], detail["input"]))
        text = _PHRASES.get(detail["type"], _plain)(detail, path, document)
        if text not in texts:  # each branch of a union complains about the same value
            texts.append(text)
    ordered = sorted(faults.items(), key=lambda fault: line_of(lines, fault[0]))
    shown = tuple(_sentence(f"{label}:{line_of(lines, path)}", path, texts, value) for path, (texts, value) in ordered[:SHOWN])
    return shown + ((f"{label}: and {len(ordered) - SHOWN} more faults",) if len(ordered) > SHOWN else ())


def _sentence(place: str, path: TomlPath, texts: Sequence[str], value: object) -> str:
    where = f"{cut('.'.join(map(str, path)))}: " if path else ""
    what = ", or ".join(texts)
    return f"{place}: {where}{what}{'' if what.endswith(('?', '.')) else '.'} Received: {shortened(value)}"


def _toml_path(detail: ErrorDetails, document: Mapping[str, object]) -> TomlPath:
    """Pydantic's location without the steps that are no keys of the file (the tag of a union, the branch of one)."""
    path: list[str | int] = []
    value: Any = document
    extra = detail["type"] == "extra_forbidden"
    for step in detail["loc"]:
        is_key = isinstance(value, dict) and (step in value or (detail["type"] == "missing" and step == detail["loc"][-1]))
        if isinstance(value, dict) and step == value.get("kind") and not (extra and step == detail["loc"][-1]):
            continue
        if is_key:
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            continue
        path.append(step)
    return tuple(path[:-1] if detail["type"] == "missing" else path)


def _at(document: Mapping[str, object], path: Sequence[str | int]) -> Any:
    value: Any = document
    for step in path:
        value = value[step]
    return value


def _model_at(document: Mapping[str, object], path: TomlPath) -> type[BaseModel]:
    """Which model the table at `path` was read as."""
    kind = _at(document, path).get("kind")
    return KINDS[kind] if isinstance(kind, str) and kind in KINDS else Rule if path else RuleDocument


def _plain(detail: ErrorDetails, path: TomlPath, document: Mapping[str, object]) -> str:
    return detail["msg"].removeprefix("Value error, ").rstrip(".")


def _unknown_key(detail: ErrorDetails, path: TomlPath, document: Mapping[str, object]) -> str:
    known = list(_model_at(document, path[:-1]).model_fields)
    guess = closest(str(path[-1]), known)
    return f"unknown key {path[-1]!r}{guess}" if guess else f"unknown key {path[-1]!r}, known are {listed(known)}"


def _unknown_kind(detail: ErrorDetails, path: TomlPath, document: Mapping[str, object]) -> str:
    kind = str(detail["input"].get("kind"))
    guess = closest(kind, KINDS)
    return f"unknown kind {shortened(kind)}{guess}" if guess else f"unknown kind {shortened(kind)}, known are {listed(KINDS, limit=20)}"


def _unknown_word(detail: ErrorDetails, path: TomlPath, document: Mapping[str, object]) -> str:
    known = re.findall(r"'([^']*)'", str(detail.get("ctx", {}).get("expected", "")))
    guess = closest(str(detail["input"]), known)
    return (
        f"{shortened(detail['input'])} is not known{guess}"
        if guess
        else f"{shortened(detail['input'])} is not known, known are {listed(known, limit=20)}"
    )


_PHRASES: Mapping[str, Callable[[ErrorDetails, TomlPath, Mapping[str, object]], str]] = MappingProxyType(
    {
        "extra_forbidden": _unknown_key,
        "missing": lambda detail, path, document: f"key {str(detail['loc'][-1])!r} is missing",
        "union_tag_invalid": _unknown_kind,
        "union_tag_not_found": lambda detail, path, document: f"key 'kind' is missing, known kinds are {listed(KINDS, limit=20)}",
        "literal_error": _unknown_word,
        "tuple_type": lambda detail, path, document: "should be a list, in []",
        "frozen_set_type": lambda detail, path, document: "should be a list, in []",
        "too_short": lambda detail, path, document: "needs at least one entry",
        "string_too_short": lambda detail, path, document: "should not be empty",
        "model_type": lambda detail, path, document: "should be a table",
        "model_attributes_type": lambda detail, path, document: "should be a table, { kind = ... }",
    }
)
