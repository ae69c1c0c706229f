"""The report: its schema, how it is assembled, the gates, and one file per format. Formats only render."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from bridge.errors import UsageError
from bridge.files import write_bytes
from bridge.report import html_report, junit_report, markdown_report, terminal
from bridge.report.build import build
from bridge.report.gates import evaluate
from bridge.report.gates import parse as parse_gate
from bridge.report.schema import Report
from bridge.report.terminal import show

__all__ = ["FORMATS", "RENDERERS", "Renderer", "Report", "build", "evaluate", "parse_gate", "show", "write"]


@dataclass(frozen=True, slots=True)
class Renderer:
    """A format: the name of its file and what makes its text."""

    file: str
    render: Callable[[Report], str]


RENDERERS: Mapping[str, Renderer] = MappingProxyType(
    {
        "json": Renderer("report.json", Report.to_json),
        "html": Renderer("report.html", html_report.render),
        "markdown": Renderer("report.md", markdown_report.render),
        "junit": Renderer("junit.xml", junit_report.render),
        "terminal": Renderer("report.txt", terminal.render),
    }
)
FORMATS = ("json", "html", "markdown", "junit")  # what a conversion writes


def write(report: Report, folder: Path, formats: Iterable[str] = FORMATS) -> Mapping[str, Path]:
    """Writes the report in each format, returns format -> file. A file is written whole or not at all, in UTF-8.

    Raises:
        UsageError: a format nobody knows; nothing is written.
        OSError: the folder is not writable.
    """
    chosen = tuple(formats)
    for name in chosen:
        if name not in RENDERERS:
            raise UsageError(f"Unknown report format. Received: {name!r}.", hint=f"Known formats: {', '.join(RENDERERS)}.")
    texts = {name: RENDERERS[name].render(report) for name in chosen}
    files = {name: folder / RENDERERS[name].file for name in chosen}
    for name, text in texts.items():
        write_bytes(files[name], text.encode())
    return MappingProxyType(files)
