"""A ranking as files and on a terminal: `sensitivity.json`, one HTML page, `sensitivity.csv`, a table."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from bridge.files import write_bytes
from bridge.report.bar_plot import Bar, Bars, bar_plot
from bridge.report.html_report import asset, environment, script_digest
from bridge.report.terminal import plain_table
from bridge.report.wording import base_name, decibel, number, percent, visible
from bridge.tune.ranking import METHODS
from bridge.tune.sensitivity_result import SensitivityReport, SensitivityResult, Unit

SHOWN = 30  # units on a terminal
COLOURS = 7  # operators with a colour of their own; all others share the next one
FIELDS = {"own_db": "Own", "alone_db": "Alone in int8", "float_db": "Alone float", "gain_db": "Gain of float"}


def write(report: SensitivityReport, folder: Path) -> None:
    """Writes `sensitivity.json`, `sensitivity.html` and `sensitivity.csv`, each whole or not at all.

    Raises:
        OSError: the folder is not writable.
    """
    for file, text in (("sensitivity.json", report.to_json()), ("sensitivity.html", html(report)), ("sensitivity.csv", report.to_csv())):
        write_bytes(folder / file, text.encode())


def show(result: SensitivityResult, console: Console) -> None:
    """Prints the most sensitive ones."""
    report, fields = result.report, _fields(result.report)
    console.print(Text(headline(report), "bold"))
    console.print(Text(about(report)))
    table = plain_table(report.level, "op", *(FIELDS[field] for field in fields), "MACs", "weights")
    for unit in report.units[:SHOWN]:
        figures = (decibel(getattr(unit, field)) for field in fields)
        table.add_row(Text(visible(unit.name, 80), overflow="fold"), visible(unit.op_type, 40), *figures, percent(unit.macs), percent(unit.weights))
    console.print(table)
    if len(report.units) > SHOWN:
        console.print(f"and {len(report.units) - SHOWN} more")
    console.print(f"page  {result.output_dir / 'sensitivity.html'}", highlight=False, soft_wrap=True)


def headline(report: SensitivityReport) -> str:
    """The most sensitive one in a sentence."""
    first = report.units[0]
    return f"{visible(first.name, 80)} takes most: {decibel(figure(first, report))}, {METHODS[report.method].what}"


def about(report: SensitivityReport) -> str:
    """How that was found."""
    start = "" if report.start_db is None else f"{'predicted ' if report.predicted else ''}{decibel(report.start_db)} with all in int8, "
    return f"{start}ranges {report.observer}, {report.samples} samples of {visible(report.source, 80)}, {report.runs} runs, no accuracy recovery"


def figure(unit: Unit, report: SensitivityReport) -> float | None:
    """What the plot shows: the figure that ranks, but what float gains instead of what is reached with it."""
    field = METHODS[report.method].figure
    value: float | None = getattr(unit, "gain_db" if field == "float_db" else field)
    return value


def html(report: SensitivityReport) -> str:
    """One page: no network, no script but its own."""
    script, method = asset("table.js"), METHODS[report.method]
    values = [figure(unit, report) for unit in report.units]
    by_depth = sorted(range(len(values)), key=lambda row: report.units[row].depth)
    counts = Counter(unit.op_type for unit in report.units)
    colours = {op_type: min(place, COLOURS) for place, (op_type, _) in enumerate(counts.most_common())}
    fields = _fields(report)
    caption = "dB that float gains at the worst output" if method.figure == "float_db" else f"{method.what}, dB: the taller the bar, the more is lost"
    return (
        environment()
        .get_template("sensitivity.html.j2")
        .render(
            report=report,
            title=f"Sensitivity of {visible(base_name(report.model), 60)}",
            headline=headline(report),
            about=about(report),
            caption=caption,
            tiles=list(_tiles(report)),
            plots=[
                (key, label, *_drawn(report, values, order, lowest_tallest=method.lowest_first))
                for key, label, order in (("rank", "most sensitive first", list(range(len(values)))), ("depth", "along depth", by_depth))
            ],
            figures=values,
            colours=colours,
            legend=_legend(counts),
            fields=fields,
            columns=[(report.level.replace("_", " ").capitalize(), False), ("Operator", False)]
            + [(f"{FIELDS[field]}, dB", True) for field in fields]
            + [("MACs", True), ("Weights", True), ("Depth", True)],
            style=asset("report.css"),
            script=script,
            script_digest=script_digest(script),
        )
    )


def _fields(report: SensitivityReport) -> list[str]:
    """Figures that the method says."""
    return [field for field in FIELDS if any(getattr(unit, field) is not None for unit in report.units)]


def _drawn(
    report: SensitivityReport, values: Sequence[float | None], order: Sequence[int], *, lowest_tallest: bool
) -> tuple[Bars, list[tuple[Bar, int, Unit]]]:
    """A plot, and what stands behind its bars: bar, row of the table, unit."""
    plot = bar_plot([values[row] for row in order], lowest_tallest=lowest_tallest)
    return plot, [(bar, row, report.units[row]) for bar, row in zip(plot.bars, order, strict=True) if bar is not None]


def _legend(counts: Counter[str]) -> list[tuple[str, int, int]]:
    """Operator, colour, how many; those without a colour of their own together."""
    common = counts.most_common()
    rest = sum(count for _, count in common[COLOURS:])
    named = [(op_type, place, count) for place, (op_type, count) in enumerate(common[:COLOURS])]
    return [*named, ("others", COLOURS, rest)] if rest else named


def _tiles(report: SensitivityReport) -> Iterator[tuple[str, str, str]]:
    """Label, figure, note."""
    worst = report.units[0]
    yield "Takes most", decibel(figure(worst, report)), visible(worst.name, 60)
    if report.start_db is not None:
        yield "All in int8", decibel(report.start_db), "worst output, " + ("predicted" if report.predicted else "measured")
    yield "Ranked", str(len(report.units)), f"by {report.level}"
    yield "Method", report.method, f"{report.runs} runs on {report.samples} samples"
    yield "Time", f"{number(report.seconds.get('rank'))} s", f"{number(sum(report.seconds.values()))} s with the conversion"
