"""The summary of several conversions as text, Markdown and HTML, and its files."""

import io
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from rich.console import Console, RenderableType
from rich.text import Text

from bridge.files import write_bytes
from bridge.report.html_report import asset, environment, script_digest
from bridge.report.markdown_report import code, prose
from bridge.report.markdown_report import table as markdown_table
from bridge.report.summary import ModelRow, Summary, TaskFigure
from bridge.report.terminal import plain_table
from bridge.report.wording import NOTHING, decibel, milliseconds, number, percent, size, times, visible

SHARED = "Latency was measured while up to {jobs} models were converted at the same time: compare it within a row, or run with one job."
WIDTH = 150  # of `text`: a row per model, on one line
STYLES = {None: "dim", 0: "green"}  # by exit code; all others are failures


def write(summary: Summary, folder: Path) -> None:
    """Writes `summary.json`, `summary.html` and `summary.md`, each whole or not at all.

    Raises:
        OSError: the folder is not writable.
    """
    for file, text in (("summary.json", summary.to_json()), ("summary.html", html(summary)), ("summary.md", markdown(summary))):
        write_bytes(folder / file, text.encode())


def show(summary: Summary, console: Console) -> None:
    """Prints the summary."""
    for part in _parts(summary):
        console.print(part)


def text(summary: Summary) -> str:
    """The same as plain text."""
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, force_terminal=False, legacy_windows=False)
    with console.capture() as captured:
        show(summary, console)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"


def _parts(summary: Summary) -> Iterator[RenderableType]:
    table = plain_table("model", "", "SQNR", "task", "size", "of float", "float MACs", "latency", "seconds")
    for row in summary.models:
        table.add_row(Text(visible(row.name, 40)), Text(row.verdict, STYLES.get(row.exit_code, "red")), *_figures(row))
    yield table
    yield from (Text(f"{visible(row.name, 40)}: {visible(reason, 400)}", "red") for row in summary.models for reason in reasons(row))
    yield Text(headline(summary), "bold")


def _figures(row: ModelRow) -> tuple[str, ...]:
    """SQNR, task, size, ratio, float MACs, latency, seconds; dashes where nothing was measured."""
    return (
        decibel(row.sqnr_db),
        task(row.task),
        size(row.quantized_bytes),
        times(row.size_ratio),
        percent(row.float_mac_share),
        NOTHING if row.quantized_ms is None else f"{number(row.float_ms, 2)} → {milliseconds(row.quantized_ms)}",
        number(row.seconds),
    )


def task(figure: TaskFigure | None) -> str:
    """`top1 98.5 → 98.0 %`, `agreement 99.0 %`, `psnr 31.2500 → 31.0000 dB`."""
    if figure is None:
        return NOTHING
    if figure.name == "top1_agreement":
        return f"agreement {percent(figure.value)}"
    if figure.name == "top1":
        return f"top1 {percent(figure.float_value).removesuffix(' %')} → {percent(figure.value)}"
    unit = f" {figure.unit}" if figure.unit else ""
    return f"{visible(figure.name, 30)} {number(figure.float_value, 4)} → {number(figure.value, 4)}{unit}"


def reasons(row: ModelRow) -> tuple[str, ...]:
    """Why a row is no success: the gates that are missed, the error with its hint, random ranges."""
    random = () if row.deployable else ("not for deployment: the ranges come from random data",)
    error = (f"{row.error} {row.hint}".strip(),) if row.error else ()
    return (*error, *(f"missed {gate}" for gate in row.missed), *random)


def headline(summary: Summary) -> str:
    """`24 of 25 models converted, 1 gate missed, 1 bad input, in 312 s`."""
    words = [row.verdict for row in summary.models if row.exit_code != 0]
    converted = sum(row.has_report for row in summary.models)
    counts = "".join(f", {words.count(word)} {word}" for word in dict.fromkeys(words))
    ended = ", interrupted" if summary.interrupted else ""
    return f"{converted} of {len(summary.models)} models converted{counts}, in {number(summary.seconds, 0)} s{ended}"


def markdown(summary: Summary) -> str:
    """GitHub's Markdown, for a job summary."""
    rows = ((_link(row), row.verdict if row.exit_code == 0 else f"**{row.verdict}**", *map(prose, _figures(row))) for row in summary.models)
    lines = [f"## {headline(summary)}", ""]
    lines += markdown_table(("model", "", "SQNR", "task", "size", "ratio", "float MACs", "latency", "seconds"), rows)
    lines += [f"- {code(row.name)}: {prose(reason)}" for row in summary.models for reason in reasons(row)]
    lines += ["", _shared(summary)]
    return "\n".join(lines).rstrip() + "\n"


def _shared(summary: Summary) -> str:
    """What disturbs the latency; empty where nothing did."""
    return SHARED.format(jobs=summary.jobs) if summary.jobs is not None and summary.jobs > 1 else ""


def _link(row: ModelRow) -> str:
    return f"[{code(row.name)}]({address(row)})" if row.has_report else code(row.name)


def address(row: ModelRow) -> str:
    """Of the model's report, as a link from beside it."""
    return f"./{quote(os.fsencode(row.name), safe='')}/report.html"


def html(summary: Summary) -> str:
    """One page: no network, no script but its own, sortable."""
    script = asset("table.js")
    return (
        environment()
        .get_template("summary.html.j2")
        .render(
            summary=summary,
            headline=headline(summary),
            rows=[(row, task(row.task), address(row) if row.has_report else "", reasons(row)) for row in summary.models],
            shared=_shared(summary),
            tiles=list(_tiles(summary)),
            style=asset("report.css"),
            script=script,
            script_digest=script_digest(script),
        )
    )


def _tiles(summary: Summary) -> Iterator[tuple[str, str, str]]:
    """Label, figure, note."""
    rows = [row for row in summary.models if row.has_report]
    measured = [(row.sqnr_db, row.name) for row in rows if row.sqnr_db is not None]
    yield "Models converted", f"{len(rows)} / {len(summary.models)}", "each with a report"
    if gated := [row for row in rows if row.gates]:
        missing = sum(bool(row.missed) for row in gated)
        yield "Gates", f"{len(gated) - missing} / {len(gated)}", "models meet theirs"
    if measured:
        worst, name = min(measured, key=lambda one: (one[0] == one[0], one[0]))  # NaN is the worst
        yield "Lowest output SQNR", decibel(worst), visible(name, 40)
    if sized := [row for row in rows if row.float_bytes and row.quantized_bytes is not None]:
        before, after = sum(row.float_bytes or 0 for row in sized), sum(row.quantized_bytes or 0 for row in sized)
        yield "Size of all", size(after), f"float {size(before)}, {times(after / before)}"
    yield (
        "Time",
        f"{number(summary.seconds, 0)} s",
        "on a cluster" if summary.jobs is None else "one at a time" if summary.jobs == 1 else f"up to {summary.jobs} at a time",
    )
