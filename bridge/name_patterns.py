"""Globs and regular expressions over names, decided in time linear in the name.

Rule files and node names can both come from strangers, and Python's `re` backtracks: `(a+)+b` over forty letters takes minutes. So both
notations become a position automaton, which reads every character once. What such an automaton cannot do (lookaround, back references) is refused.

google-re2 (wheels for CPython 3.12) would answer the regexes as well. It was left out: globs, the positions in the messages and the refusals would have to
be written around it all the same, and one more binary has to exist for every platform.

Source: V. M. Glushkov, "The abstract theory of automata", 1961.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from msgspec import Struct

MAX_REGEX_LENGTH = 256
MAX_GLOB_LENGTH = 1024
_MAX_GROUP_DEPTH = 20
_MAX_BUILD_STEPS = 2_500  # `((a{99}){99}){99}` is short to write and huge to build
_CLASS_ESCAPES = frozenset("dwsDWS")
_COUNT = re.compile(r"\{(\d{0,4})(,(\d{0,4}))?\}")
_NESTED_SET = re.compile(r"\[|--|&&|~~|\|\|")  # `re` warns that these may change their meaning


class NamePatternError(ValueError):
    """A glob or regex that cannot be used; the message is a sentence for the user."""


class _Atom(Struct, frozen=True):
    source: str  # a regular expression for exactly one character


class _Sequence(Struct, frozen=True):
    parts: "tuple[_Node, ...]"


class _Choice(Struct, frozen=True):
    branches: "tuple[_Node, ...]"


class _Repeat(Struct, frozen=True):
    body: "_Node"
    low: int
    high: int | None


type _Node = _Atom | _Sequence | _Choice | _Repeat


class NamePattern(Struct, frozen=True, eq=False):
    """A compiled pattern. Bit `i` of a mask stands for the i-th character position of the pattern."""

    empty: bool  # matches the empty name
    first: int
    last: int
    atoms: tuple[re.Pattern[str], ...]
    follow: tuple[int, ...]
    plain: int  # positions behind which only the next one can come: nearly all, and one shift is enough for them together

    def matches(self, name: str) -> bool:
        """Whether the whole of `name` matches."""
        reachable, read = self.first, 0
        for character in name:
            read, reachable = _step(self, reachable, character)
            if not read:
                return False
        return bool(read & self.last) if name else self.empty


@lru_cache(maxsize=65_536)
def _step(pattern: NamePattern, reachable: int, character: str) -> tuple[int, int]:
    """Positions of `reachable` that accept the character, and those that can come next."""
    read = reachable & _accepting(pattern, character)
    following = (read & pattern.plain) << 1
    rest = read & ~pattern.plain
    while rest:
        bit = rest & -rest
        rest ^= bit
        following |= pattern.follow[bit.bit_length() - 1]
    return read, following


@lru_cache(maxsize=8192)
def _accepting(pattern: NamePattern, character: str) -> int:
    """All positions that accept the character."""
    return _union(1 << place for place, atom in enumerate(pattern.atoms) if atom.fullmatch(character))


@lru_cache(maxsize=1024)
def compile_regex(text: str) -> NamePattern:
    r"""A regular expression that must match the whole name.

    Literals, `.`, classes, `\d \w \s` and their opposites, groups, `|` and all greedy or lazy counts; `^` first and `$` last are allowed.

    Raises:
        NamePatternError: it is too long, not a regular expression, or uses what only backtracking can do.
    """
    if len(text) > MAX_REGEX_LENGTH:
        raise NamePatternError(f"a regex may have {MAX_REGEX_LENGTH} characters, this one has {len(text)}")
    return _Automaton(_Parser(text).parse()).pattern


@lru_cache(maxsize=1024)
def compile_glob(text: str) -> NamePattern:
    """A glob that must match the whole name: `*` and `?` stay inside a `/` segment, `**` crosses, `[ab]` and `[!ab]` are one character.

    `a/**/b` also matches `a/b`. A `[` that opens no class stands for itself.

    Raises:
        NamePatternError: it is much too long.
    """
    return _Automaton(_glob_tree(text)).pattern


def glob_fits(glob: str, name: str) -> bool:
    """Whether the glob is the name itself, letter by letter, or matches it; a leading `/` of the name may be left out."""
    if glob == name:
        return True
    pattern = _with_wildcards(glob)
    if pattern is None:
        return name.startswith("/") and name[1:] == glob
    # A glob that starts with `/` wants it, one that starts with `**` has taken it already.
    return pattern.matches(name) or (name.startswith("/") and not glob.startswith(("/", "**")) and pattern.matches(name[1:]))


@lru_cache(maxsize=4096)
def _with_wildcards(glob: str) -> NamePattern | None:
    return compile_glob(glob) if any(wildcard in glob for wildcard in "*?[") else None


_WITHIN_SEGMENT = _Atom(r"[^/]")
_ANYTHING = _Repeat(_Atom("."), 0, None)
_GLOB_TOKEN = re.compile(r"(?P<folders>(?<![^/])\*\*+/)|(?P<all>\*\*+)|(?P<some>\*)|(?P<one>\?)|(?P<set>\[!?\]?[^\]/]*\])|(?P<literal>.)", re.DOTALL)


def _glob_tree(text: str) -> _Node:
    return _Sequence(tuple(_glob_part(token.lastgroup or "", token.group()) for token in _GLOB_TOKEN.finditer(text)))


def _glob_part(kind: str, token: str) -> _Node:
    if kind == "set":
        return _glob_set(token)
    fixed: dict[str, _Node] = {
        "folders": _Repeat(_Sequence((_ANYTHING, _Atom("/"))), 0, 1),
        "all": _ANYTHING,
        "some": _Repeat(_WITHIN_SEGMENT, 0, None),
        "one": _WITHIN_SEGMENT,
    }
    return fixed.get(kind) or _Atom(re.escape(token))


def _glob_set(token: str) -> _Node:
    negated = token.startswith("[!")
    body = re.sub(r"([^\w-])", r"\\\1", token[2 if negated else 1 : -1])
    source = f"(?!/)[{'^' if negated else ''}{body}]"
    try:
        re.compile(source)
    except re.error:  # `[b-a]` is no class: the characters stand for themselves
        return _Sequence(tuple(_Atom(re.escape(character)) for character in token))
    return _Atom(source)


class _Parser:
    """Reads a regular expression from left to right; every refusal names the position."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0

    def parse(self) -> _Node:
        tree = self.choice()
        if self.at < len(self.text):
            raise self.refusal("this ')' closes nothing")
        return tree

    def refusal(self, why: str) -> NamePatternError:
        return NamePatternError(f"{why}, at position {self.at} of the regex {self.text!r}")

    def peek(self, count: int = 1) -> str:
        return self.text[self.at : self.at + count]

    def choice(self) -> _Node:
        branches = [self.sequence()]
        while self.peek() == "|":
            self.at += 1
            branches.append(self.sequence())
        return branches[0] if len(branches) == 1 else _Choice(tuple(branches))

    def sequence(self) -> _Node:
        parts: list[_Node] = []
        while self.peek() not in ("", "|", ")"):
            if (self.peek() == "^" and self.at == 0) or (self.peek() == "$" and self.at == len(self.text) - 1):
                self.at += 1  # the whole name must match anyway
            else:
                parts.append(self.counted(self.single()))
        return _Sequence(tuple(parts))

    def single(self) -> _Node:
        character = self.peek()
        if character == "(":
            return self.group()
        if character == "[":
            return self.character_class()
        if character == "\\":
            return self.escape()
        if character in "^$":
            raise self.refusal(f"{character!r} is possible only at the {'start' if character == '^' else 'end'}, where it changes nothing")
        if character in "*+?{":
            raise self.refusal(f"{character!r} has nothing to repeat; write \\{character} for the character itself")
        self.at += 1
        return _Atom("." if character == "." else re.escape(character))

    def group(self) -> _Node:
        if self.peek(2) == "(?" and self.peek(3) != "(?:":
            raise self.refusal(f"{self.peek(3)!r} (lookaround, flags, named groups) is not possible in a rule; use '(?:'")
        if self.depth == _MAX_GROUP_DEPTH:
            raise self.refusal(f"groups are nested more than {_MAX_GROUP_DEPTH} deep")
        self.at += 3 if self.peek(3) == "(?:" else 1
        self.depth += 1
        tree = self.choice()
        if self.peek() != ")":
            raise self.refusal("a ')' is missing")
        self.at += 1
        self.depth -= 1
        return tree

    def escape(self) -> _Node:
        token = self.peek(2)
        if len(token) < 2 or (token[1].isalnum() and token[1] not in _CLASS_ESCAPES):
            raise self.refusal(f"{token!r} (back reference, boundary or letter escape) is not possible in a rule")
        self.at += 2
        return _Atom(token)

    def character_class(self) -> _Node:
        found = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL).match(self.text, self.at)
        if not found:
            raise self.refusal("a ']' is missing")
        source = found.group()
        if _NESTED_SET.search(re.sub(r"\\.", "", source[1:])):
            raise self.refusal("inside [] write a backslash before '[', '--', '&&', '~~' and '||'")
        try:
            re.compile(source)
        except re.error as error:
            raise self.refusal(f"{source!r} is no character class ({error.msg})") from error
        self.at = found.end()
        return _Atom(source)

    def counted(self, body: _Node) -> _Node:
        bounds = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(self.peek())
        if bounds:
            self.at += 1
        elif self.peek() == "{":
            bounds = self.braces()
        else:
            return body
        if self.peek() == "?":
            self.at += 1  # a lazy count accepts the same names
        if self.peek() and self.peek() in "*+?{":
            raise self.refusal("one count directly behind another is not possible")
        return _Repeat(body, *bounds)

    def braces(self) -> tuple[int, int | None]:
        found = _COUNT.match(self.text, self.at)
        if not found or found.group() in ("{}", "{,}"):
            raise self.refusal("'{' opens no count such as {2,3}; write \\{ for the character itself")
        low = int(found[1] or 0)
        high = low if found[2] is None else int(found[3]) if found[3] else None
        if high is not None and high < low:
            raise self.refusal(f"the count {found.group()} runs backwards")
        self.at = found.end()
        return low, high


class _Fragment(Struct, frozen=True):
    empty: bool
    first: int
    last: int


class _Automaton:
    """Gives every character of the tree a position and notes which can follow which."""

    def __init__(self, tree: _Node) -> None:
        self.atoms: list[re.Pattern[str]] = []
        self.follow: list[int] = []
        self.steps = 0
        whole = self.build(tree)
        plain = _union(1 << place for place, follow in enumerate(self.follow) if follow == 2 << place)
        self.pattern = NamePattern(whole.empty, whole.first, whole.last, tuple(self.atoms), tuple(self.follow), plain)

    def build(self, node: _Node) -> _Fragment:
        self.steps += 1
        if self.steps > _MAX_BUILD_STEPS:
            raise NamePatternError("the pattern is too large once its counts are written out")
        match node:
            case _Atom(source):
                self.atoms.append(re.compile(source, re.DOTALL))
                self.follow.append(0)
                bit = 1 << (len(self.atoms) - 1)
                return _Fragment(False, bit, bit)
            case _Sequence(parts):
                return self.joined(list(parts))
            case _Choice(branches):
                built = [self.build(branch) for branch in branches]
                return _Fragment(any(b.empty for b in built), _union(b.first for b in built), _union(b.last for b in built))
            case _Repeat(body, low, None):
                return self.joined([body] * low, looped=body)
            case _Repeat(body, low, high):
                assert high is not None
                return self.joined([body] * low, optional=[body] * (high - low))
        raise AssertionError(node)

    def joined(self, parts: list[_Node], *, optional: list[_Node] | None = None, looped: _Node | None = None) -> _Fragment:
        """One after another; then the `optional` ones, each with leave to be absent; then `looped`, any number of times."""
        whole = _Fragment(True, 0, 0)
        for part in parts:
            whole = self.append(whole, self.build(part))
        for part in optional or []:
            built = self.build(part)
            whole = self.append(whole, _Fragment(True, built.first, built.last))
        if looped is not None:
            built = self.build(looped)
            self.link(built.last, built.first)
            whole = self.append(whole, _Fragment(True, built.first, built.last))
        return whole

    def append(self, left: _Fragment, right: _Fragment) -> _Fragment:
        self.link(left.last, right.first)
        return _Fragment(
            left.empty and right.empty,
            left.first | (right.first if left.empty else 0),
            right.last | (left.last if right.empty else 0),
        )

    def link(self, sources: int, targets: int) -> None:
        while sources:
            bit = sources & -sources
            sources ^= bit
            self.follow[bit.bit_length() - 1] |= targets


def _union(masks: Iterable[int]) -> int:
    result = 0
    for mask in masks:
        result |= mask
    return result
