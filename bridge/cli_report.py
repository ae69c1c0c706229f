"""`bridge report`: what can be done with a stored report.json, without any model."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bridge.cli_options import Baseline, Gates, Github, Json, Tolerance, tolerances
from bridge.errors import UsageError

report_app = typer.Typer(no_args_is_help=True, help="Stored reports: gates, differences, other formats.")

Stored = Annotated[Path, typer.Argument(help="A report.json.", show_default=False)]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write into this file instead of printing.")]


@report_app.command("gate")
def report_gate(
    report: Stored, gate: Gates = None, baseline: Baseline = None, tolerance: Tolerance = None, json: Json = False, github: Github = False
) -> None:
    """Judge a stored report by gates and an earlier report; exit with 5 where one is not met."""
    from bridge.report import github_report, judge, read_baseline, read_report
    from bridge.report.terminal import gates_text

    if not gate and baseline is None:
        raise UsageError("There is neither a gate nor a baseline.", hint="Give --gate 'sqnr>=25' or --baseline report.json.")
    stored = read_report(report)
    verdict = judge(stored, tuple(gate or ()), read_baseline(baseline, tolerances(tolerance)))
    said = verdict.model_dump_json(indent=1) + "\n" if json else gates_text(verdict)
    if json or not github:
        sys.stdout.write(said)
    if github:
        github_report.write(stored.model_copy(update={"verdict": verdict}), "" if json else said)
    if not verdict.passed:
        raise typer.Exit(5)


@report_app.command("diff")
def report_diff(
    before: Annotated[Path, typer.Argument(help="The earlier report.json.", show_default=False)],
    after: Annotated[Path, typer.Argument(help="The later one.", show_default=False)],
    form: Annotated[str, typer.Option("--format", help="text, markdown, html or json.")] = "text",
    tolerance: Tolerance = None,
    output: Output = None,
) -> None:
    """Say what differs between two reports: outputs, layers, precisions, size, latency."""
    from bridge.report import diff, read_baseline, read_report
    from bridge.report.diff_formats import DIFF_FORMATS

    if form not in DIFF_FORMATS:
        raise UsageError(f"--format: unknown format. Received: {form!r}.", hint=f"Known formats: {', '.join(DIFF_FORMATS)}.")
    held_to = read_baseline(before, tolerances(tolerance))
    assert held_to is not None
    found = diff(held_to.report, read_report(after), before_path=str(before), after_path=str(after))
    _write(DIFF_FORMATS[form](found, held_to.tolerances), output)


@report_app.command("render")
def report_render(
    report: Stored,
    form: Annotated[
        str, typer.Option("--format", help="json, html, markdown, junit, terminal, github, csv, parquet, model-explorer or model-explorer-own.")
    ],
    output: Output = None,
) -> None:
    """Make any format of the report again."""
    from bridge.report import BINARY, read_report, renderer

    chosen = renderer(form)
    if form in BINARY and output is None:
        raise UsageError(f"{form} is no text.", hint=f"Name a file: -o {chosen.file}")
    _write(chosen.content(read_report(report)), output)


def _write(content: str | bytes, output: Path | None) -> None:
    from bridge.files import write_bytes

    content = content.encode() if isinstance(content, str) else content
    if output is None:
        sys.stdout.write(content.decode())
        return
    try:
        write_bytes(output, content)
    except OSError as error:
        raise UsageError(f"{output}: cannot be written: {error.strerror}.", hint="Name another file with -o.") from error
