"""Changes a rule file and leaves all else in it as it is: comments, order, spaces, line ends.

Written for machines that edit what people wrote: a rule that stays keeps its text, of one that changes only the values that differ are written anew.
"""

import json
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bridge.errors import RuleError
from bridge.files import write_bytes
from bridge.rules.files import parse, read_text
from bridge.rules.schema import Rule
from bridge.rules.toml_lines import TomlPath, key_lines, value_spans
from bridge.rules.wording import closest

WIDTH = 150  # a list that would make the line longer gets a line per entry
INDENT = "    "
_KEYS = tuple(Rule.model_fields)  # the order in which the keys of a new rule are written


def edit(path: Path, *, put: Sequence[Rule] = (), remove: Collection[str] = ()) -> None:
    """Puts rules into a file and takes others out; the file is written whole or not at all.

    Args:
        path: a rule file.
        put: a rule of an id that the file has replaces it in its place, others are added at the end, in their order.
        remove: ids.

    Raises:
        RuleError: the file cannot be read or is malformed, or has no rule of an id that is to be removed.
        OSError: the file cannot be written.
    """
    raw = path.read_bytes() if path.is_file() else b""
    text = edited(read_text(path, str(path)), put=put, remove=remove, label=str(path))
    text = text.replace("\n", "\r\n") if b"\r\n" in raw else text
    write_bytes(path, (b"\xef\xbb\xbf" if raw.startswith(b"\xef\xbb\xbf") else b"") + text.encode())


def edited(text: str, *, put: Sequence[Rule] = (), remove: Collection[str] = (), label: str = "rules") -> str:
    """The text of a rule file after the changes of `edit`.

    Args:
        text: of the file.
        put: rules that replace those of their ids, or are added.
        remove: ids.
        label: how messages call the file.

    Raises:
        RuleError: the text is no rule file, or has no rule of an id that is to be removed.
    """
    known = {rule.id for rule in parse(text, label).rules}
    for one in remove:
        if one not in known:
            raise RuleError(f"{label}: there is no rule {one!r} to remove{closest(one, known)}", hint="`bridge rules check` reads the file.")
    new = {rule.id: rule for rule in put}
    for one in (*new, *remove):
        if one in known:
            rules = parse(text, label).rules  # again: every change moves what stands behind it
            index = next(place for place, rule in enumerate(rules) if rule.id == one)
            layout = _Layout.of(text)
            text = layout.without(index) if one in remove else layout.replaced(index, rules[index], new[one])
    added = [rule for rule in new.values() if rule.id not in known and rule.id not in remove]
    if added:
        text = _Layout.of(text).added(added)
    parse(text, label)
    return text


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the rules of a text stand."""

    text: str
    spans: Mapping[TomlPath, tuple[int, int]]
    lines: Mapping[TomlPath, int]
    count: int

    @classmethod
    def of(cls, text: str) -> "_Layout":
        """Reads a text that is a rule file."""
        return cls(text, value_spans(text), key_lines(text), len(tomllib.loads(text).get("rules", ())))

    @property
    def inline(self) -> bool:
        """Whether the rules stand in one list, `rules = [...]`."""
        return ("rules",) in self.spans

    def without(self, index: int) -> str:
        """The text without a rule and the comment lines right above it."""
        if self.inline:
            start, end = self.spans["rules", index]
            comma = re.compile(r"[ \t]*,?").match(self.text, end)
            end = comma.end() if comma else end
            line = re.compile(r"[ \t]*(#[^\n]*)?\n").match(self.text, end)
            if line and not self.text[self.text.rfind("\n", 0, start) + 1 : start].strip():
                start, end = self.text.rfind("\n", 0, start) + 1, line.end()
            return self.text[:start] + self.text[end:].removeprefix("" if line else " ")
        start, end = self._block(index)
        while (above := self.text[:start].removesuffix("\n").rpartition("\n")[2]).startswith("#"):
            start -= len(above) + 1
        kept = self.text[:start] + self.text[end:].removeprefix("\n")
        return kept if self.count > 1 else f"{kept.rstrip()}\nrules = []\n"

    def replaced(self, index: int, old: Rule, new: Rule) -> str:
        """The text with the values of a rule that are others now."""
        before, after = _values(old), _values(new)
        if before == after:
            return self.text
        if self.inline:
            start, end = self.spans["rules", index]
            return self.text[:start] + _inline_table(after) + self.text[end:]
        start, end = self._block(index)
        changes = sorted(self._changes(index, before, after, (start, end)), reverse=True)
        text = self.text
        for begin, stop, value in changes:
            text = text[:begin] + value + text[stop:]
        return text

    def _changes(
        self, index: int, before: Mapping[str, object], after: Mapping[str, object], block: tuple[int, int]
    ) -> Iterator[tuple[int, int, str]]:
        """(start, end, new text) of every value that changes, of keys that go, and of those that come behind the last key."""
        last = self._line_end(self._line_start(self.lines["rules", index]))
        for key in before:
            span = self.spans.get(("rules", index, key))
            if span is None:  # a list of tables with headers: it stands at the end of the rule
                if before[key] != after.get(key):
                    yield self._line_start(self.lines["rules", index, key]), block[1], ""
                continue
            last = max(last, self._line_end(span[1]))
            if key not in after:
                yield self._line_start(self.lines["rules", index, key]), self._line_end(span[1]), ""
            elif before[key] != after[key]:
                yield *span, _value(after[key], len(key))
        lost = {key for key in before if ("rules", index, key) not in self.spans and before[key] != after.get(key)}
        fresh = "".join(f"{key} = {_value(value, len(key))}\n" for key, value in after.items() if key not in before or key in lost)
        if fresh:
            yield last, last, fresh

    def added(self, rules: Sequence[Rule]) -> str:
        """The text with more rules at the end."""
        if self.inline and self.count:
            _, end = self.spans["rules", self.count - 1]
            return self.text[:end] + "".join(f",\n{INDENT}{_inline_table(_values(rule))}" for rule in rules) + self.text[end:]
        text = self.text
        if self.inline:
            start, end = self._line_start(self.lines["rules",]), self._line_end(self.spans["rules",][1])
            text = text[:start] + text[end:]
        blocks = ("[[rules]]\n" + "".join(f"{key} = {_value(value, len(key))}\n" for key, value in _values(rule).items()) for rule in rules)
        return "\n".join((text.rstrip("\n") + "\n", *blocks)) if text.strip() else "\n".join(blocks)

    def _block(self, index: int) -> tuple[int, int]:
        """From the header of a rule to the end of the line of its last value."""
        start = self._line_start(self.lines["rules", index])
        ends = [span[1] for path, span in self.spans.items() if path[:2] == ("rules", index)]
        return start, self._line_end(max(ends))

    def _line_start(self, line: int) -> int:
        at = 0
        for _ in range(line - 1):
            at = self.text.index("\n", at) + 1
        return at

    def _line_end(self, at: int) -> int:
        """Behind the line that `at` is in."""
        end = self.text.find("\n", at)
        return len(self.text) if end < 0 else end + 1


def _values(rule: Rule) -> dict[str, object]:
    """What the rule says, as TOML has it, in the order of the keys; sets are sorted."""
    given = rule.model_dump(exclude_unset=True)
    return {key: _plain(given[key]) for key in _KEYS if key in given}


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, frozenset):
        return sorted(map(str, value))
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _value(value: object, key_length: int) -> str:
    """The value behind `key = `, a list on several lines where one would be too long."""
    text = _toml(value)
    if isinstance(value, list) and key_length + len(" = ") + len(text) > WIDTH:
        return "[\n" + "".join(f"{INDENT}{_toml(one)},\n" for one in value) + "]"
    return text


def _toml(value: object) -> str:
    if isinstance(value, Mapping):
        return _inline_table(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    # JSON's strings, booleans and numbers are TOML's, but that TOML wants DEL escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _inline_table(values: Mapping[str, object]) -> str:
    return "{ " + ", ".join(f"{key} = {_toml(value)}" for key, value in values.items()) + " }"
