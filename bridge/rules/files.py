"""Reading rule files and the packs that ship with bridge."""

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct
from pydantic import ValidationError

from bridge.errors import RuleError
from bridge.rules.schema import Rule, RuleDocument
from bridge.rules.schema_errors import sentences
from bridge.rules.toml_lines import MAX_DEPTH, TomlPath, key_lines, line_of
from bridge.rules.wording import closest, shortened
from bridge.toml_text import line_with_long_key

MAX_BYTES = 1 << 20
FORMAT_HINT = "exclusion_rules/README.md describes the format."

_PACKAGE = Path(__file__).resolve().parents[1]
# A wheel carries the packs inside the package, a checkout beside it.
_PACK_FOLDERS = (_PACKAGE / "exclusion_rules", _PACKAGE.parent / "exclusion_rules")
_TOML_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


class RuleFile(Struct, frozen=True):
    """A rule file as read.

    Attributes:
        label: how messages and reports call it: the path as given, `exclusion_rules/default.toml` for a pack.
        description: what it is for; may be empty.
        reset: the rules of the files before it are taken back.
        rules: in the file's order.
        lines: line of each rule, counted from 1.
    """

    label: str
    description: str
    reset: bool
    rules: tuple[Rule, ...]
    lines: tuple[int, ...]


class Pack(Struct, frozen=True):
    """A rule file that ships with bridge and is found by its name."""

    name: str
    path: Path
    description: str
    rules: int


def load(names_or_paths: Sequence[str | Path | RuleFile]) -> tuple[RuleFile, ...]:
    """Reads rule files in order.

    Args:
        names_or_paths: a pack's name (`default`), the path of a TOML file, or what was read before.

    Returns:
        The rule files, in the order given.

    Raises:
        RuleError: no such pack or file, or one that is malformed; names file, line and key.
    """
    return tuple(name if isinstance(name, RuleFile) else _load_one(name) for name in names_or_paths)


def list_packs() -> tuple[Pack, ...]:
    """The packs that ship with bridge, by name."""
    packs = []
    for name, path in sorted(_pack_paths().items()):
        file = _read(path, _pack_label(path))
        packs.append(Pack(name, path, file.description, len(file.rules)))
    return tuple(packs)


def _load_one(name: str | Path) -> RuleFile:
    packs = _pack_paths()
    text = str(name)
    if isinstance(name, str) and name in packs:
        return _read(packs[name], _pack_label(packs[name]))
    if Path(text).is_file():
        return _read(Path(text), text)
    known = f"Packs: {', '.join(sorted(packs))}. Anything else is the path of a TOML file."
    if isinstance(name, str) and re.fullmatch(r"[\w-]+", name):
        raise RuleError(f"{name!r} is neither a rule pack nor a file{closest(name, packs)}", hint=known)
    raise RuleError(f"{text}: no such rule file", hint=known)


def _pack_paths() -> dict[str, Path]:
    folder = next((folder for folder in _PACK_FOLDERS if folder.is_dir()), None)
    return {path.stem: path for path in folder.glob("*.toml")} if folder else {}


def _pack_label(path: Path) -> str:
    return f"exclusion_rules/{path.name}"  # the same on every machine, so that reports can be compared


def _read(path: Path, label: str) -> RuleFile:
    return parse(read_text(path, label), label)


def parse(text: str, label: str) -> RuleFile:
    """The rule file that a text is.

    Args:
        text: TOML.
        label: how messages call the file.

    Raises:
        RuleError: it is malformed; names line and key.
    """
    document = _parsed(text, label)
    lines = key_lines(text)
    try:
        content = RuleDocument.model_validate(document)
    except ValidationError as error:
        raise RuleError("\n".join(sentences(error, document, lines, label)), hint=FORMAT_HINT) from error
    rule_lines = tuple(line_of(lines, ("rules", index)) for index in range(len(content.rules)))
    _refuse_duplicates(content, lines, label)
    return RuleFile(label, content.description or "", content.reset, content.rules, rule_lines)


def read_text(path: Path, label: str) -> str:
    r"""The text of a rule file, line ends as `\n`.

    Raises:
        RuleError: it cannot be read, is no text, or is too large.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise RuleError(f"{label}: cannot be read: {error.strerror}", hint="Check the path of the rule file.") from error
    if len(content) > MAX_BYTES:
        raise RuleError(f"{label}: a rule file may have {MAX_BYTES >> 10} KiB", hint="Split it; --rules takes several files.")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise RuleError(f"{label}:{line}: not UTF-8 text. Received: byte {content[error.start]:#04x}", hint="Save the file as UTF-8.") from error


def _parsed(text: str, label: str) -> dict[str, object]:
    if long := line_with_long_key(text):
        raise RuleError(f"{label}:{long}: a dotted key is too long", hint=FORMAT_HINT)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = _TOML_PLACE.search(str(error))
        rows = text.split("\n")
        line = int(place[1]) if place and place[1] else len(rows)
        what = _TOML_PLACE.sub("", str(error))
        raise RuleError(f"{label}:{line}: not TOML: {what}. Received: {shortened(rows[line - 1].strip())}", hint=FORMAT_HINT) from error
    except RecursionError as error:
        raise RuleError(f"{label}: nested too deeply", hint=FORMAT_HINT) from error
    if _depth(document) > MAX_DEPTH:
        raise RuleError(f"{label}: nested more than {MAX_DEPTH} deep", hint=FORMAT_HINT)
    return document


def _depth(document: object) -> int:
    deepest, pending = 0, [(document, 0)]
    while pending:
        value, depth = pending.pop()
        deepest = max(deepest, depth)
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        pending.extend((one, depth + 1) for one in inner)
    return deepest


def _refuse_duplicates(content: RuleDocument, lines: dict[TomlPath, int], label: str) -> None:
    first: dict[str, int] = {}
    for index, rule in enumerate(content.rules):
        line = line_of(lines, ("rules", index, "id"))
        if rule.id in first:
            raise RuleError(
                f"{label}:{line}: rules.{index}.id: the id is taken by line {first[rule.id]}. Received: {rule.id!r}",
                hint=f"Give every rule of {label} an id of its own.",
            )
        first[rule.id] = line
