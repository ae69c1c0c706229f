"""The report on a terminal: verdict, outputs, what runs in which precision, the worst layers, cost, warnings, files."""

import io
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from bridge.report.schema import Output, Report, TaskMetric, Verdict
from bridge.report.wording import (
    NOTHING,
    about,
    compression_rows,
    conversions,
    decibel,
    gate_place,
    metric_rows,
    milliseconds,
    number,
    percent,
    significant,
    size,
    times,
    visible,
)

MAX_WARNINGS = 5
MAX_LONE = 3
MAX_CHANGES = 5
MAX_LINE = 2000  # characters of a line of a rule; a rule that is cut cannot be used
WIDTH = 120  # of `render`; a terminal has its own
STYLES = {"info": "dim", "warning": "yellow", "error": "bold red"}


def show(report: Report, console: Console) -> None:
    """Prints the report."""
    for part in _parts(report):
        console.print(part)


def render(report: Report) -> str:
    """The same as plain text."""
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, force_terminal=False, legacy_windows=False)
    with console.capture() as captured:
        show(report, console)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"


def _parts(report: Report) -> Iterator[RenderableType]:
    yield _verdict(report)
    yield from (_gates(report.verdict) if report.verdict.gates else ())
    yield ""
    yield outputs_table(report.outputs) if report.summary.worst_output is not None else Text("nothing was compared", "dim")
    yield from metrics_table(report.task_metrics)
    yield ""
    yield from (_worst(report) if report.summary.worst else ())
    yield _precisions(report)
    yield from _cost(report)
    yield from (Text(f"{what} {before} → {after}") for what, before, after in compression_rows(report.compression))
    yield from _lone(report)
    yield from _changes(report)
    yield from _warnings(report)
    yield ""
    for name, file in report.artifacts.items():
        yield Text.assemble((f"{visible(name)}  ", "dim"), visible(file))


def _verdict(report: Report) -> Text:
    gates = report.verdict.gates
    missed = sum(not gate.passed for gate in gates)
    word, style = ("done", "bold") if not gates else ("passed", "bold green") if report.verdict.passed else ("failed", "bold red")
    line = Text.assemble((word, style), f"  {visible(report.model.path)} as {visible(report.precision)}")
    if gates:
        line.append(f", {missed} of {len(gates)} gates not met" if missed else f", gates met: {len(gates)}")
    if not report.summary.deployable:
        line.append("\nnot for deployment: the ranges come from random data", "bold red")
    return line


def gates_text(verdict: Verdict) -> str:
    """The gates alone as plain text, and whether they are met."""
    missed = sum(not gate.passed for gate in verdict.gates)
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, force_terminal=False, legacy_windows=False)
    with console.capture() as captured:
        console.print(f"{missed} of {len(verdict.gates)} gates not met" if missed else f"gates met: {len(verdict.gates)}")
        for part in _gates(verdict):
            console.print(part)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"


def _gates(verdict: Verdict) -> Iterator[RenderableType]:
    table = plain_table("gate", "", "measured", "worst")
    for gate in verdict.gates:
        mark = Text("met", "green") if gate.passed else Text("not met", "red")
        table.add_row(Text(visible(gate.expression)), mark, number(gate.measured, 4), Text(visible(gate_place(gate), 400)))
    yield ""
    yield table


def outputs_table(outputs: Iterable[Output]) -> Table:
    """One row per model output."""
    table = plain_table("output", "SQNR", "cosine", "max abs", "conversion", "top-1 agreement", "top-1")
    for output in outputs:
        table.add_row(
            Text(visible(output.name)),
            decibel(output.sqnr_db),
            number(output.cosine, 5),
            significant(output.max_abs),
            decibel(output.conversion_sqnr_db),
            percent(output.top1_agreement),
            _top1(output),
        )
    return table


def metrics_table(metrics: Sequence[TaskMetric]) -> Iterator[RenderableType]:
    """One row per task metric; nothing without any."""
    if metrics:
        table = plain_table("metric", "float", "quantized", "lost")
        for name, *figures in metric_rows(metrics):
            table.add_row(Text(visible(name)), *figures)
        yield ""
        yield table


def _top1(output: Output) -> str:
    return NOTHING if output.top1_float is None else f"{percent(output.top1_float)} → {percent(output.top1_quantized)}"


def _worst(report: Report) -> Iterator[RenderableType]:
    table = plain_table("largest own error", "op", "own", "inherited", "RMSE/scale")
    for layer in report.summary.worst:
        table.add_row(
            Text(visible(layer.node, 80)),
            Text(visible(layer.op_type)),
            decibel(layer.own_sqnr_db),
            decibel(layer.inherited_sqnr_db),
            number(layer.rmse_over_scale, 2),
        )
    yield table
    yield ""


def _precisions(report: Report) -> Text:
    counts = ", ".join(f"{count} {'without an op' if name == 'none' else visible(name)}" for name, count in report.summary.precisions.items())
    return Text(f"{report.coverage.nodes} nodes: {counts}; {report.coverage.mapped} with a counterpart, {report.coverage.explained} explained")


def _cost(report: Report) -> Iterator[RenderableType]:
    cost, summary = report.cost, report.summary
    if cost.quantized_bytes is not None:
        yield Text(f"size {size(cost.float_bytes)} → {size(cost.quantized_bytes)} ({times(summary.size_ratio)})")
    if cost.quantized_ms is not None:
        yield Text(f"latency {milliseconds(cost.float_ms)} → {milliseconds(cost.quantized_ms)} ({times(summary.speedup)} as fast)")
    if cost.float_mac_share is not None:
        yield Text(f"float {percent(cost.float_mac_share)} of the multiply-accumulates; {conversions(cost)}")


def _lone(report: Report) -> Iterator[RenderableType]:
    """The float operators between integers that convert most."""
    rows = report.cost.lone_float_ops
    if not rows:
        return
    table = plain_table("float between integers", "op", "converted", "alone", "of the latency")
    for row in rows[:MAX_LONE]:
        table.add_row(Text(visible(row.node, 80)), visible(row.op), f"{row.converted_elements}", milliseconds(row.alone_ms), about(row.latency_share))
    yield table
    if len(rows) > MAX_LONE:
        yield Text(f"and {len(rows) - MAX_LONE} more in report.html", "dim")


def _changes(report: Report) -> Iterator[RenderableType]:
    """What rules change in the model, and what that costs without any quantization."""
    rows = report.replacements.worst_first
    if not rows:
        return
    table = plain_table("changed by rules", "what", "there", "output, this alone")
    for row in rows[:MAX_CHANGES]:
        table.add_row(Text(visible(row.node, 80)), visible(row.what, 60), decibel(row.sqnr_db), decibel(row.worst_db))
    yield table
    if len(rows) > MAX_CHANGES:
        yield Text(f"and {len(rows) - MAX_CHANGES} more in report.html", "dim")
    for output in report.replacements.together:
        yield Text(f"all changes together, in float: {visible(output.name)} {decibel(output.sqnr_db)}")


def _warnings(report: Report) -> Iterator[RenderableType]:
    findings = [finding for finding in (*report.calibration.warnings, *report.diagnostics) if finding.severity != "info"]
    for finding in findings[:MAX_WARNINGS]:
        where = f" {visible(finding.node)}:" if finding.node else ""
        yield Text.assemble(
            (f"{finding.severity}:", STYLES[finding.severity]), f"{where} {visible(finding.message, 400)} {visible(finding.hint, 400)}".rstrip()
        )
        if finding.rule:
            yield Text("\n".join(visible(line, MAX_LINE) for line in finding.rule.splitlines()), "dim", overflow="fold")
    if len(findings) > MAX_WARNINGS:
        yield Text(f"and {len(findings) - MAX_WARNINGS} more warnings in report.html", "dim")


def plain_table(*columns: str) -> Table:
    """A table without frame; names to the left, figures to the right."""
    table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
    for position, column in enumerate(columns):
        table.add_column(column, justify="left" if position == 0 or column in ("op", "", "worst", "what") else "right", overflow="fold")
    return table
