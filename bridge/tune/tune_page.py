"""The result of a search as one HTML page and as Markdown, made of what `tune.json` holds and nothing else."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bridge.files import write_bytes
from bridge.report import gates
from bridge.report.gate_syntax import comparisons
from bridge.report.html_report import asset, environment, script_digest
from bridge.report.markdown_report import block, code, prose
from bridge.report.markdown_report import table as markdown_table
from bridge.report.scatter_plot import Scatter, scatter_plot
from bridge.report.wording import NOTHING, base_name, decibel, milliseconds, number, percent, significant, size, times, visible
from bridge.tune.result import Point, TuneReport
from bridge.tune.rule_file import rule_entries

SCRIPTS = ("table.js", "copy.js")
COLUMNS = ("Not int8", "Cost", "Float MACs", "Size", "of float", "SQNR", "Top-1 drop", "Latency")
type Read = Callable[[Point], float | None]

COSTS: tuple[tuple[str, str, Read], ...] = (
    ("cost", "cost that the search makes small", lambda point: point.cost),
    ("macs", "share of the multiply-accumulates in float", lambda point: point.float_mac_share),
    ("size", "size over that of the float file", lambda point: point.size_ratio),
)


@dataclass(frozen=True, slots=True)
class Measure:
    """What the target asks for first: how a reader calls it, where a point has it, the value to reach (None where a point does not have it)."""

    label: str
    read: Read
    bound: float | None


SQNR = Measure("SQNR of the worst output, dB", lambda point: point.sqnr_db, None)


def write(report: TuneReport, folder: Path) -> None:
    """Writes `tune.html` and `tune.md`, each whole or not at all.

    Raises:
        OSError: the folder is not writable.
    """
    for file, text in (("tune.html", html(report)), ("tune.md", markdown(report))):
        write_bytes(folder / file, text.encode())


def measure(target: str) -> Measure:
    """What the first comparison of a target is about; SQNR without a line where a point does not hold that."""
    first = next(comparisons(gates.parse(target)))
    name = first.name
    if first.subject == "metric":
        base, _, which = name.partition(":")
        if which == "drop":
            return Measure(f"loss of {base}", lambda point: point.drops.get(base), first.bound)
        return SQNR if which else Measure(base, lambda point: point.metrics.get(base), first.bound)
    if name == "sqnr":
        return Measure(SQNR.label, SQNR.read, first.bound)
    if name in ("top1_agreement", "top1_drop"):
        return Measure(name.replace("_", " "), lambda point: getattr(point, name), first.bound)
    return SQNR


def headline(report: TuneReport) -> str:
    """The verdict in a sentence."""
    asked = " and ".join((report.target, *report.budgets))
    said = "is met" if report.met else "is not met"
    ended = "; interrupted, so this is the best so far" if report.interrupted else ""
    return (
        f"{visible(asked, 200)} {said}: {decibel(report.best.sqnr_db)} instead of {decibel(report.start.sqnr_db)} with "
        f"{len(report.members)} of {report.candidates} not in int8{ended}"
    )


def about(report: TuneReport) -> str:
    """How that was found."""
    recovery = ", ".join(report.recovery) or "none"
    return f"ranges {report.observer}, accuracy recovery {recovery}, confirmed on {report.confirmed_on} samples of {visible(report.source, 80)}"


def html(report: TuneReport) -> str:
    """One page: no network, no script but its own."""
    script = "\n".join(map(asset, SCRIPTS))
    shown = _shown(report)
    asked = measure(report.target)
    plots = [(key, label, plot) for key, label, read in COSTS if (plot := _plot(report, shown, read, asked)) is not None]
    return (
        environment()
        .get_template("tune.html.j2")
        .render(
            report=report,
            title=f"Tuning of {visible(base_name(report.model), 60)}",
            headline=headline(report),
            about=about(report),
            tiles=list(_tiles(report)),
            asked=asked,
            plots=plots,
            points=[(point, word, asked.read(point), _cells(point)) for word, point in shown],
            columns=[("Which", False), *((column, True) for column in COLUMNS), ("Target", False)],
            members=list(zip(report.members, rule_entries(report.members), strict=True)),
            style=asset("report.css"),
            script=script,
            script_digest=script_digest(script),
        )
    )


def markdown(report: TuneReport) -> str:
    """GitHub's Markdown, for a job summary."""
    lines = [
        f"## {prose(base_name(report.model))}: {'met' if report.met else '**not met**'}",
        "",
        prose(headline(report)),
        "",
        prose(about(report)),
        "",
    ]
    shown = _shown(report)
    rows = ((word, *_cells(point), _met(point)) for word, point in shown)
    lines += markdown_table(("", *COLUMNS, ""), rows)
    if report.members:
        members = (
            (code(one.name), one.precision, percent(one.float_macs), NOTHING if one.without_db is None else decibel(one.without_db))
            for one in report.members
        )
        lines += markdown_table(("node", "precision", "MACs", "without it"), members)
    for one, entry in zip(report.members, rule_entries(report.members), strict=True):
        lines += [f"- {code(one.name)}: {prose(one.reason)}", *block(entry)]
    lines += ["", f"{prose(_effort(report))}. Convert with", "", f"    {' '.join(visible(report.command, 4000).split())}"]
    return "\n".join(lines).rstrip() + "\n"


def _shown(report: TuneReport) -> list[tuple[str, Point]]:
    """What each shown point is, and the point: the start, the front, the result. The start is mostly the first of the front."""
    start = [] if any(not point.assignment for point in report.front) else [("all in int8", report.start)]
    return [*start, *(("front" if point.assignment else "all in int8", point) for point in report.front), ("result", report.best)]


def _plot(report: TuneReport, shown: Sequence[tuple[str, Point]], read: Read, asked: Measure) -> Scatter | None:
    """The start, the front, the result; steps through the front."""
    through = range(len(shown) - 1 - len(report.front), len(shown) - 1)
    return scatter_plot([(read(point), asked.read(point)) for _, point in shown], through=through, line=asked.bound)


def _cells(point: Point) -> tuple[str, ...]:
    """Of COLUMNS."""
    return (
        str(len(point.assignment)),
        number(point.cost, 4),
        percent(point.float_mac_share),
        size(point.quantized_bytes),
        times(point.size_ratio),
        decibel(point.sqnr_db),
        NOTHING if point.top1_drop is None else number(point.top1_drop, 4),
        milliseconds(point.quantized_ms),
    )


def _met(point: Point) -> str:
    return "met" if point.met and point.affordable else "over budget" if point.met else "not met"


def _effort(report: TuneReport) -> str:
    trials = report.trials
    return (
        f"{trials.made} trials of at most {trials.allowed} on {report.samples} samples, {trials.further} more to confirm and to time, "
        f"{trials.cached} of all known before, {number(sum(report.seconds.values()), 0)} s"
    )


def _tiles(report: TuneReport) -> Iterator[tuple[str, str, str]]:
    """Label, figure, note."""
    best, start = report.best, report.start
    yield "Output SQNR", decibel(best.sqnr_db), f"all in int8 {decibel(start.sqnr_db)}, worst {visible(best.worst_output, 40)}"
    asked = measure(report.target)
    if asked.read(best) is not None and asked.label != SQNR.label:
        yield asked.label, significant(asked.read(best)), f"all in int8 {significant(asked.read(start))}, asked {significant(asked.bound)}"
    yield "Not in int8", str(len(report.members)), f"of {report.candidates}"
    yield "Float MACs", percent(best.float_mac_share), f"cost {number(best.cost, 4)}"
    yield "Size", size(best.quantized_bytes), f"{times(best.size_ratio)} of float, all in int8 {size(start.quantized_bytes)}"
    yield "Latency, this machine", milliseconds(best.quantized_ms), f"float {milliseconds(best.float_ms)}"
    yield "Trials", str(report.trials.made), f"of at most {report.trials.allowed}, {number(sum(report.seconds.values()), 0)} s with the conversion"
