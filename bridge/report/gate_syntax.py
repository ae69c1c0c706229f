"""The language of gates: comparisons with a number, joined by `and`, `or`, `not` and parentheses.

gate        = conjunction { "or" conjunction }
conjunction = term { "and" term }
term        = "not" term | "(" gate ")" | comparison
comparison  = [ "any" ] subject sign number
subject     = measure | "output" [glob] ":" measure | "layer" [glob] ":" measure | "metric" ":" name [ ":" ( "drop" | "float" ) ]
glob        = "[" text without "]" "]" | "[" text in double quotes "]"
"""

import re
from collections.abc import Iterator
from typing import Literal, NoReturn

from msgspec import Struct

from bridge.errors import UsageError

type Sign = Literal[">=", "<=", ">", "<"]
type Expression = Comparison | Not | And | Or

MAX_LENGTH, MAX_DEPTH = 4000, 50
TOKEN = re.compile(
    r"\s*(?:(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))|(?P<sign>>=|<=|>|<)|(?P<word>[A-Za-z_]\w*)"
    r'|(?P<glob>\["(?:[^"\\]|\\.)*"\]|\[[^\]]*\])|(?P<mark>[():])|(?P<end>$))',
    re.ASCII,
)
WORDS = frozenset({"and", "or", "not", "any"})
SUBJECTS = frozenset({"output", "layer", "metric"})
EXAMPLES = "for example 'sqnr>=25', 'layer:own_sqnr>=15' or 'layer[encoder.*]:own_sqnr>=15 and size_ratio<=0.3'"


class Comparison(Struct, frozen=True):
    """One comparison: `subject` is `output`, `layer`, `metric`, or empty for the whole run.

    `every` says whether all that the glob takes must hold, or any of it; an empty glob takes all. `text` is the source.
    """

    text: str
    subject: str
    glob: str
    name: str
    every: bool
    sign: Sign
    bound: float


class Not(Struct, frozen=True):
    """Holds where `inner` does not."""

    inner: Expression


class And(Struct, frozen=True):
    """Holds where all parts do."""

    parts: tuple[Expression, ...]


class Or(Struct, frozen=True):
    """Holds where one part does."""

    parts: tuple[Expression, ...]


def parse(text: str) -> Expression:
    """Reads the form of a gate; whether its names mean something is not asked here.

    Raises:
        UsageError: it is no gate; says what is wrong where.
    """
    return _Parser(text).parse()


def comparisons(expression: Expression) -> Iterator[Comparison]:
    """All comparisons, from left to right."""
    match expression:
        case Comparison():
            yield expression
        case Not(inner):
            yield from comparisons(inner)
        case And(parts) | Or(parts):
            for part in parts:
                yield from comparisons(part)


class _Parser:
    """Reads from left to right; one method for each line of the grammar."""

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > MAX_LENGTH:
            self.refuse(f"it has more than {MAX_LENGTH} characters")
        self.at = 0  # behind the current token
        self.depth = 0
        self.advance()

    def refuse(self, why: str) -> NoReturn:
        raise UsageError(
            f"A gate is a name, one of >= <= > <, and a number; and, or, not and () join several. Received: {self.text[:80]!r}: {why}.",
            hint=EXAMPLES,
        )

    def advance(self) -> None:
        self.before = self.at
        match = TOKEN.match(self.text, self.at)
        if match is None:
            self.refuse(f"{self.text[self.at :].strip()[:1]!r} at position {self.at} belongs to no gate")
        self.kind, self.value = str(match.lastgroup), match[str(match.lastgroup)]
        self.start, self.at = match.start(str(match.lastgroup)), match.end()

    def take(self, kind: str, what: str) -> str:
        if self.kind != kind or self.value in WORDS:
            self.refuse(f"{what} was expected at position {self.start}" + (f", not {self.value!r}" if self.value else ""))
        value = self.value
        self.advance()
        return value

    def skip(self, value: str) -> bool:
        """Whether the current token is this one; then it is read."""
        if self.value != value:
            return False
        self.advance()
        return True

    def parse(self) -> Expression:
        found = self.gate()
        if self.kind != "end":
            self.refuse(f"'and' or 'or' was expected at position {self.start}, not {self.value!r}")
        return found

    def gate(self) -> Expression:
        parts = [self.conjunction()]
        while self.skip("or"):
            parts.append(self.conjunction())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def conjunction(self) -> Expression:
        parts = [self.term()]
        while self.skip("and"):
            parts.append(self.term())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def term(self) -> Expression:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.refuse(f"it is nested more than {MAX_DEPTH} deep")
        if self.skip("not"):
            found: Expression = Not(self.term())
        elif self.skip("("):
            found = self.gate()
            if not self.skip(")"):
                self.refuse(f"')' was expected at position {self.start}")
        else:
            found = self.comparison()
        self.depth -= 1
        return found

    def comparison(self) -> Comparison:
        start = self.start
        every = not self.skip("any")
        subject, glob, name = "", "", self.take("word", "a name")
        if name in SUBJECTS:
            subject = name
            if self.kind == "glob" and subject != "metric":
                glob = _unquoted(self.take("glob", "a glob"))
            self.colon()
            name = self.take("word", "a name")
        while self.skip(":"):
            name = f"{name}:{self.take('word', 'a name')}"
        sign: Sign = self.take("sign", "one of >= <= > <")  # type: ignore[assignment]  # the token allows no other
        bound = float(self.take("number", "a number"))
        return Comparison(self.text[start : self.before].strip(), subject, glob, name, every, sign, bound)

    def colon(self) -> None:
        if not self.skip(":"):
            self.refuse(f"':' and a name were expected at position {self.start}, not {self.value!r}")


def _unquoted(glob: str) -> str:
    inner = glob[1:-1]
    return re.sub(r"\\(.)", r"\1", inner[1:-1]) if glob.startswith('["') else inner
