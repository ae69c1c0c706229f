"""What a search found, on a terminal: the verdict, what is not int8 and why, the front."""

from collections.abc import Iterator, Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from bridge.report.wording import NOTHING, decibel, milliseconds, percent, size, visible
from bridge.tune.result import Member, Point, TuneReport, TuneResult

SHOWN = 30  # members and points


def show(result: TuneResult, console: Console) -> None:
    """Prints it."""
    for part in _parts(result.report):
        console.print(part)
    console.print(f"rules   {result.rules}", highlight=False)
    console.print(f"use     {result.report.command}", highlight=False, soft_wrap=True)


def _parts(report: TuneReport) -> Iterator[RenderableType]:
    verdict, style = ("met", "bold green") if report.met else ("not met", "bold red")
    asked = " and ".join((report.target, *report.budgets))
    yield Text.assemble(visible(asked), " ", (verdict, style), " (interrupted: the best so far)" if report.interrupted else "")
    yield Text(
        f"{decibel(report.best.sqnr_db)} instead of {decibel(report.start.sqnr_db)} with {len(report.members)} of {report.candidates} not in int8, "
        f"{percent(report.best.float_mac_share)} of the multiply-accumulates float, {size(report.best.quantized_bytes)}; "
        f"{report.trials.made} trials ({report.trials.cached} known before) on {report.samples} samples"
    )
    recovery = ", ".join(report.recovery) or "none"
    yield Text(f"ranges {report.observer}, accuracy recovery {recovery}")
    yield ""
    if report.members:
        yield _members(report.members)
        yield ""
    yield _front(report.front)


def _members(members: Sequence[Member]) -> Table:
    table = Table("Node", "Precision", "MACs", "Without it", box=None, pad_edge=False)
    for member in members[:SHOWN]:
        table.add_row(
            Text(visible(member.name), overflow="fold"),
            member.precision,
            percent(member.float_macs),
            NOTHING if member.without_db is None else decibel(member.without_db),
        )
    if len(members) > SHOWN:
        table.add_row(f"and {len(members) - SHOWN} more")
    return table


def _front(points: Sequence[Point]) -> Table:
    table = Table("Not int8", "Float MACs", "Size", "Worst output", "Top-1 drop", "Latency", "", box=None, pad_edge=False)
    for point in points[:SHOWN]:
        table.add_row(
            str(len(point.assignment)),
            percent(point.float_mac_share),
            f"{point.size_ratio:.3f}",
            decibel(point.sqnr_db),
            NOTHING if point.top1_drop is None else f"{point.top1_drop:.4f}",
            NOTHING if point.quantized_ms is None else milliseconds(point.quantized_ms),
            "met" if point.met and point.affordable else "",
        )
    return table
