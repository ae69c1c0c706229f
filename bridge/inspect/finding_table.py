"""The table of what bridge can find, for people: `bridge findings`."""

from collections.abc import Iterator, Sequence

from bridge.errors import UsageError
from bridge.findings import FAMILIES, KINDS, Kind
from bridge.rules.wording import closest


def finding_table(codes: Sequence[str] = ()) -> tuple[Kind, ...]:
    """The kinds of findings.

    Args:
        codes: only these; all if empty.

    Raises:
        UsageError: there is no such code.
    """
    for code in codes:
        if code not in KINDS:
            raise UsageError(f"There is no finding of that code{closest(code, KINDS)}. Received: {code!r}.", hint="`bridge findings` lists all.")
    return tuple(KINDS[code] for code in codes) if codes else tuple(KINDS.values())


def render(kinds: Sequence[Kind], *, details: bool = False) -> str:
    """The table as text: one line for each, or with `details` all that is known of it."""
    return "\n".join(_details(kinds) if details else _lines()) + "\n"


def _lines() -> Iterator[str]:
    width = max(map(len, KINDS))
    for place, (family, kinds) in enumerate(FAMILIES.items()):
        yield from ("",) * (place > 0)
        yield family
        yield from (f"  {kind.code:{width}}  {kind.severities[0]:7}  {kind.title}" for kind in kinds)


def _details(kinds: Sequence[Kind]) -> Iterator[str]:
    for place, kind in enumerate(kinds):
        yield from ("",) * (place > 0)
        yield f"{kind.code} ({' or '.join(kind.severities)}): {kind.title}"
        yield f"  cause    {kind.cause}"
        yield f"  example  {kind.example}"
        yield f"  cure     {kind.cure}"
