"""Annotations for a GitHub workflow: what was not met and what is wrong, as workflow commands.

GitHub shows ten errors and ten warnings of a step; the worst come first, and the last of them says how many were left out.

Source: https://docs.github.com/actions/reference/workflow-commands-for-github-actions; escapes as in its toolkit (packages/core/src/command.ts).
"""

import secrets
import sys
from collections.abc import Iterator, Sequence
from typing import Literal

from bridge.report.schema import Report
from bridge.report.wording import gate_part, visible

MAX_SHOWN = 10  # per level and step
MAX_MESSAGE = 2000

type Level = Literal["error", "warning"]
type Note = tuple[str, str]  # title, message


def render(report: Report) -> str:
    """One line per annotation; empty for a run without failures and warnings."""
    return "".join(f"{line}\n" for line in (*_commands("error", list(_errors(report))), *_commands("warning", list(_warnings(report)))))


def write(report: Report, summary: str) -> None:
    """Prints a summary without commands, then the annotations; without a summary, where stdout holds something else, they go to stderr."""
    if summary:
        sys.stdout.write(inert(summary))
    (sys.stdout if summary else sys.stderr).write(render(report))  # one stream: the runner reads both at once, in no order


def failure(name: str, message: str) -> str:
    """The annotation of a model of several that has no report."""
    return "".join(f"{line}\n" for line in _commands("error", [(f"{name}: not converted", message)]))


def inert(text: str) -> str:
    """The text between two commands that keep the runner from looking for commands in it: a name of a node may begin with `::`."""
    token = secrets.token_hex(16)
    return f"::stop-commands::{token}\n{text.rstrip(chr(10))}\n::{token}::\n"


def _errors(report: Report) -> Iterator[Note]:
    for gate in report.verdict.gates:
        if not gate.passed:
            found = gate.reason or ", ".join(map(gate_part, gate.parts))
            yield "Gate not met", f"{gate.expression}: {found}"
    for finding in report.diagnostics:
        if finding.severity == "error":
            yield finding.code, _said(finding.node, finding.message, finding.hint)


def _warnings(report: Report) -> Iterator[Note]:
    for finding in (*report.calibration.warnings, *report.diagnostics):
        if finding.severity == "warning":
            yield finding.code, _said(finding.node, finding.message, finding.hint)


def _said(node: str | None, message: str, hint: str) -> str:
    return " ".join(part for part in (f"{visible(node)}:" if node else "", message, hint) if part)


def _commands(level: Level, notes: Sequence[Note]) -> Iterator[str]:
    shown = notes if len(notes) <= MAX_SHOWN else [*notes[: MAX_SHOWN - 1], ("bridge", f"and {len(notes) - MAX_SHOWN + 1} more in report.html")]
    for title, message in shown:
        yield f"::{level} title={_property(visible(title))}::{_data(visible(message, MAX_MESSAGE))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
