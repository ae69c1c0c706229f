"""A difference of two reports as text, Markdown, HTML and JSON."""

import io
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from rich.console import Console, RenderableType
from rich.text import Text

from bridge.report.diff import ReportDiff, Side
from bridge.report.diff_tables import DiffTable, headline, tables
from bridge.report.html_page import page
from bridge.report.markdown_report import code, prose
from bridge.report.markdown_report import table as markdown_table
from bridge.report.terminal import WIDTH, plain_table
from bridge.report.wording import visible

HTML_ROWS = 2000

type Tolerances = Mapping[str, float]


def text(found: ReportDiff, tolerances: Tolerances) -> str:
    """Plain text, as wide as a terminal's summary."""
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, force_terminal=False, legacy_windows=False)
    with console.capture() as captured:
        for part in _text_parts(found, tolerances):
            console.print(part)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"


def _text_parts(found: ReportDiff, tolerances: Tolerances) -> Iterator[RenderableType]:
    yield Text(headline(found, tolerances))
    yield Text(f"before  {_side(found.before)}")
    yield Text(f"after   {_side(found.after)}")
    yield from (Text(f"note: {visible(note, 400)}") for note in found.notes)
    for one in tables(found, tolerances):
        yield ""
        yield Text(one.title)
        table = plain_table(*one.head)
        for row in one.rows:
            table.add_row(*(Text(visible(cell)) for cell in row))
        yield table
        yield from _more(one)


def markdown(found: ReportDiff, tolerances: Tolerances) -> str:
    """GitHub's Markdown."""
    lines = [f"## {headline(found, tolerances)}", ""]
    lines += [f"Before: {code(_side(found.before))}. After: {code(_side(found.after))}.", ""]
    lines += [f"- {prose(note)}" for note in found.notes] + ([""] if found.notes else [])
    for one in tables(found, tolerances):
        lines += [f"### {one.title}", ""]
        rows = ([code(cell) if place in one.names else prose(cell) for place, cell in enumerate(row)] for row in one.rows)
        lines += [*markdown_table(one.head, rows), *_more(one)]
    return "\n".join(lines).rstrip() + "\n"


def html(found: ReportDiff, tolerances: Tolerances) -> str:
    """One page without network and script."""
    return page(
        "diff.html.j2",
        diff=found,
        headline=headline(found, tolerances),
        sides=(("before", _side(found.before)), ("after", _side(found.after))),
        tables=list(tables(found, tolerances, shown=HTML_ROWS)),
    )


def _json(found: ReportDiff, tolerances: Tolerances) -> str:
    del tolerances
    return found.to_json()


def _side(side: Side) -> str:
    return visible(f"{side.path}: {side.model} as {side.precision}, {side.samples} samples", 400)


def _more(one: DiffTable) -> Iterator[str]:
    if one.more:
        yield f"and {one.more} more"


DIFF_FORMATS: Mapping[str, Callable[[ReportDiff, Tolerances], str]] = MappingProxyType(
    {"text": text, "markdown": markdown, "html": html, "json": _json}
)  # fmt: skip
