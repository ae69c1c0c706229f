"""The line of every key in a TOML text, and where its value stands; `tomllib` keeps neither."""

import re
import tomllib
from collections.abc import Mapping

from bridge.toml_text import STRING

type TomlPath = tuple[str | int, ...]

MAX_DEPTH = 32  # rule files nest about eight deep; deeper keys are not noted, their parents' line is close enough

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\n]+")
_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")


def key_lines(text: str) -> dict[TomlPath, int]:
    """Line, counted from 1, of every key and every list entry, by its path: `("rules", 0, "match", 1, "kind")`.

    Args:
        text: TOML that `tomllib` accepts; nothing is checked again.
    """
    return _Scanner(text).lines


def value_spans(text: str) -> dict[TomlPath, tuple[int, int]]:
    """Start and end of the value of every key and of every list entry that is written as one value, by its path; tables with a header are none.

    Args:
        text: TOML that `tomllib` accepts.
    """
    return _Scanner(text).spans


def line_of(lines: Mapping[TomlPath, int], path: TomlPath) -> int:
    """Line of the path, or of the nearest table around it."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.seen = 0  # characters whose newlines are counted in `line`
        self.line = 1
        self.lines: dict[TomlPath, int] = {}
        self.spans: dict[TomlPath, tuple[int, int]] = {}
        self.counts: dict[TomlPath, int] = {}  # entries of each array of tables so far
        self._document()

    def _document(self) -> None:
        table: TomlPath = ()
        while self._skip(_BLANK) < len(self.text):
            if self.text.startswith("[[", self.at):
                table = self._header(2)
            elif self.text[self.at] == "[":
                table = self._header(1)
            else:
                self._pair(table)

    def _header(self, brackets: int) -> TomlPath:
        line = self._line()
        self.at += brackets
        names = self._key()
        self.at += brackets
        path: TomlPath = ()
        for name in names[:-1]:
            self._note((*path, name), line)
            path = self._entered((*path, name))
        path = (*path, names[-1])
        if brackets == 2:
            self.counts[path] = self.counts.get(path, 0) + 1
        self._note(path, line)
        path = self._entered(path)
        self._note(path, line)
        return path

    def _entered(self, path: TomlPath) -> TomlPath:
        """The table that further keys go to: the last entry where the path is an array of tables."""
        return (*path, self.counts[path] - 1) if path in self.counts else path

    def _pair(self, table: TomlPath) -> None:
        line = self._line()
        path = table
        for name in self._key():
            path = (*path, name)
            self._note(path, line)
        self.at += 1  # the equals sign
        self._skip(_SPACE)
        self._value(path)

    def _value(self, path: TomlPath) -> None:
        start = self.at
        if self.text[self.at] == "[":
            self._list(path)
        elif self.text[self.at] == "{":
            self._inline_table(path)
        elif string := STRING.match(self.text, self.at):
            self.at = string.end()
        else:
            self._skip(_SCALAR)
        if len(path) <= MAX_DEPTH:
            self.spans[path] = (start, start + len(self.text[start : self.at].rstrip()))

    def _list(self, path: TomlPath) -> None:
        self.at += 1
        index = 0
        while self.text[self._skip(_BLANK)] != "]":
            self._note((*path, index), self._line())
            self._value((*path, index))
            index += 1
            if self.text[self._skip(_BLANK)] == ",":
                self.at += 1
        self.at += 1

    def _inline_table(self, path: TomlPath) -> None:
        self.at += 1
        while self.text[self._skip(_BLANK)] != "}":
            self._pair(path)
            if self.text[self._skip(_BLANK)] == ",":
                self.at += 1
        self.at += 1

    def _key(self) -> list[str]:
        names = []
        while True:
            self._skip(_SPACE)
            if bare := _BARE_KEY.match(self.text, self.at):
                names.append(bare.group())
                self.at = bare.end()
            elif quoted := STRING.match(self.text, self.at):
                names.append(tomllib.loads(f"key = {quoted.group()}")["key"])
                self.at = quoted.end()
            self._skip(_SPACE)
            if self.text[self.at] != ".":
                return names
            self.at += 1

    def _skip(self, what: re.Pattern[str]) -> int:
        if found := what.match(self.text, self.at):
            self.at = found.end()
        return self.at

    def _line(self) -> int:
        self.line += self.text.count("\n", self.seen, self.at)
        self.seen = self.at
        return self.line

    def _note(self, path: TomlPath, line: int) -> None:
        if len(path) <= MAX_DEPTH:
            self.lines.setdefault(path, line)
