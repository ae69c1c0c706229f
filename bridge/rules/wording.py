"""How rule messages name things: close spellings, short lists, values cut to a line."""

from collections.abc import Iterable
from difflib import get_close_matches


def closest(word: str, known: Iterable[str], *, cutoff: float = 0.7) -> str:
    """`, did you mean 'Softmax'?` when a known word is close to `word` (case aside), else an empty string.

    Args:
        word: what was received.
        known: what would have been right.
        cutoff: least similarity, from 0 to 1.
    """
    by_lowered = {candidate.lower(): candidate for candidate in sorted(known)}
    found = get_close_matches(word.lower()[:200], list(by_lowered), n=1, cutoff=cutoff)
    return f", did you mean {by_lowered[found[0]]!r}?" if found else ""


def listed(words: Iterable[str], *, limit: int = 12) -> str:
    """`'a', 'b' and 3 more`; the words keep their order."""
    shown = [printable(word) for word in words]
    more = len(shown) - limit
    return ", ".join(repr(word) for word in shown[:limit]) + (f" and {more} more" if more > 0 else "")


def shortened(value: object, *, limit: int = 120) -> str:
    """`repr(value)` on one line of at most `limit` characters."""
    return cut(repr(value), limit=limit)


def cut(text: str, *, limit: int = 120) -> str:
    """The text, its end replaced by `...` where it is longer than `limit`."""
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def printable(name: str) -> str:
    """The name with control characters spelled out, so that a hostile model cannot drive the terminal."""
    return name if name.isprintable() else name.encode("unicode_escape").decode("ascii")
