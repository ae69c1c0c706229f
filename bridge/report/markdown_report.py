"""Markdown for the summary page of a CI job (GitHub's dialect), short enough to read without scrolling much."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from bridge.report.schema import Diagnostic, Gate, Report
from bridge.report.wording import (
    about,
    compression_rows,
    conversions,
    decibel,
    metric_rows,
    milliseconds,
    number,
    percent,
    significant,
    size,
    times,
    visible,
)

MAX_WARNINGS, MAX_LONE, MAX_CHANGES, MAX_OUTPUTS, MAX_GATES = 8, 3, 5, 50, 200
MAX_RULE_LINES = 30  # a job summary takes 1 MiB
MAX_LINE = 2000  # characters of a line of a rule; a rule that is cut cannot be used
MARKUP = re.compile(r"[\\`*_\[\]<>#~&$@]|:(?=//)")  # also what would mention somebody or make a link


def render(report: Report) -> str:
    """The report as Markdown."""
    return (
        "\n".join(
            (
                *_head(report),
                *_figures(report),
                *_gates(report.verdict.gates),
                *_inputs(report),
                *_outputs(report),
                *_task_metrics(report),
                *_worst(report),
                *_lone(report),
                *_changes(report),
                *_warnings(report),
            )
        )
        + "\n"
    )


def _head(report: Report) -> Iterator[str]:
    gates = report.verdict.gates
    missed = sum(not gate.passed for gate in gates)
    mark = "no gates" if not gates else "passed" if report.verdict.passed else f"failed: {missed} of {len(gates)} gates not met"
    yield f"## {code(report.model.path)}: {mark}"
    yield ""
    if not report.summary.deployable:
        yield "**Not for deployment: the ranges come from random data.**"
        yield ""


def _figures(report: Report) -> Iterator[str]:
    cost, summary = report.cost, report.summary
    yield from table(
        ("", "float32", code(report.precision), "ratio"),
        (
            ("size", size(cost.float_bytes), size(cost.quantized_bytes), times(summary.size_ratio)),
            ("latency", milliseconds(cost.float_ms), milliseconds(cost.quantized_ms), f"{times(summary.speedup)} as fast" if summary.speedup else ""),
            *((what, before, after, "") for what, before, after in compression_rows(report.compression)),
        ),
    )
    counts = ", ".join(f"{count} {'without an operator' if name == 'none' else code(name)}" for name, count in summary.precisions.items())
    yield f"{report.coverage.nodes} nodes: {counts}. {percent(cost.float_mac_share)} of the multiply-accumulates are float; {conversions(cost)}."
    compared = "nothing was compared in this run" if report.summary.worst_output is None else f"compared over {report.evaluation.samples} samples"
    yield f"{report.coverage.mapped} nodes have a proved counterpart, {report.coverage.explained} a reason why not; {compared}."
    yield ""


def _gates(gates: Sequence[Gate]) -> Iterator[str]:
    if gates:
        shown = sorted(gates, key=lambda gate: gate.passed)[:MAX_GATES] if len(gates) > MAX_GATES else gates
        rows = ((code(gate.expression), "met" if gate.passed else "**not met**", number(gate.measured, 4), _place(gate)) for gate in shown)
        yield from table(("gate", "", "measured", "worst"), rows)
        yield from _more(len(gates) - len(shown))


def _place(gate: Gate) -> str:
    if gate.worst is None:
        return prose(gate.reason)
    missed = [part for part in gate.parts if part.missed and part.asked > 1]
    return code(gate.worst) + "".join(f" ({part.missed} of {part.asked} miss it)" for part in missed)


def _inputs(report: Report) -> Iterator[str]:
    """What the TFLite file is fed."""
    if report.inputs:
        rows = (
            (code(one.name), "x".join(map(str, one.shape)), f"{'x'.join(map(str, one.tflite_shape))} {one.tflite_dtype}", one.layout)
            for one in report.inputs[:MAX_OUTPUTS]
        )
        yield from table(("input", "of the source model", "of the TFLite file", "layout"), rows)


def _outputs(report: Report) -> Iterator[str]:
    if report.summary.worst_output is None:
        return
    rows = (
        (
            code(output.name),
            decibel(output.sqnr_db),
            significant(output.max_abs),
            percent(output.top1_agreement),
            f"{percent(output.top1_float)} → {percent(output.top1_quantized)}" if output.top1_float is not None else "",
        )
        for output in report.outputs[:MAX_OUTPUTS]
    )
    yield from table(("output", "SQNR", "max abs", "top-1 agreement", "top-1"), rows)
    yield from _more(len(report.outputs) - MAX_OUTPUTS)


def _task_metrics(report: Report) -> Iterator[str]:
    if report.task_metrics:
        rows = ((code(name), *figures) for name, *figures in metric_rows(report.task_metrics))
        yield from table(("metric", "float", "quantized", "lost"), rows)


def _worst(report: Report) -> Iterator[str]:
    if report.summary.worst:
        rows = (
            (code(layer.node), code(layer.op_type), decibel(layer.own_sqnr_db), number(layer.rmse_over_scale, 2), prose(layer.hint))
            for layer in report.summary.worst
        )
        yield from table(("layers with the largest own error", "op", "own SQNR", "RMSE/scale", ""), rows)


def _lone(report: Report) -> Iterator[str]:
    rows = (
        (code(row.node), code(row.op), str(row.converted_elements), milliseconds(row.alone_ms), about(row.latency_share))
        for row in report.cost.lone_float_ops[:MAX_LONE]
    )
    if report.cost.lone_float_ops:
        yield from table(("float between integers", "op", "values converted", "alone", "of the latency"), rows)


def _changes(report: Report) -> Iterator[str]:
    rows = report.replacements.worst_first
    if not rows:
        return
    cells = ((code(row.node), prose(row.what), decibel(row.sqnr_db), decibel(row.worst_db)) for row in rows[:MAX_CHANGES])
    yield from table(("changed by rules", "what", "there", "output, this alone"), cells)
    more = f"{len(rows) - MAX_CHANGES} more in report.html. " if len(rows) > MAX_CHANGES else ""
    together = ", ".join(f"{code(output.name)} {decibel(output.sqnr_db)}" for output in report.replacements.together)
    if more or together:
        yield more + (f"All changes together, without quantization: {together}." if together else "")
        yield ""


def _warnings(report: Report) -> Iterator[str]:
    findings = [finding for finding in (*report.calibration.warnings, *report.diagnostics) if finding.severity != "info"]
    for finding in islice(findings, MAX_WARNINGS):
        yield _finding(finding)
        yield from block(finding.rule)
    if len(findings) > MAX_WARNINGS:
        yield f"- and {len(findings) - MAX_WARNINGS} more in report.html"


def _finding(finding: Diagnostic) -> str:
    where = f" {code(finding.node)}" if finding.node else ""
    return f"- **{finding.severity}** {code(finding.code)}{where}: {prose(finding.message)} {prose(finding.hint)}".rstrip()


def _more(count: int) -> Iterator[str]:
    if count > 0:
        yield f"and {count} more in report.html"
        yield ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table and the empty line behind it; cells are Markdown except for `|`."""
    yield f"| {' | '.join(head)} |"
    yield "|" + " --- |" * len(head)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
    yield ""


def code(name: str) -> str:
    """A name as a code span."""
    text = visible(name)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    padded = f" {text} " if text.startswith("`") or text.endswith("`") or not text.strip() else text
    return f"{fence}{padded}{fence}"


def block(text: str) -> Iterator[str]:
    """Lines as they are, under an entry of a list; nothing for an empty text, and a note for one that is too long."""
    if (lines := len(text.splitlines())) > MAX_RULE_LINES:
        yield f"  A rule of {lines} lines for it is in report.html."
    elif text:
        fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
        yield f"  {fence}toml"
        yield from (f"  {visible(line, MAX_LINE)}" for line in text.splitlines())
        yield f"  {fence}"


def prose(text: str) -> str:
    """A sentence in which no character means markup."""
    return MARKUP.sub(r"\\\g<0>", visible(text, 400))
