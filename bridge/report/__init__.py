"""The report: its schema, how it is assembled, the gates, and one file per format. Formats only render."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from msgspec import Struct

from bridge.errors import UsageError
from bridge.files import write_bytes
from bridge.report import github_report, html_report, junit_report, layer_table, markdown_report, model_explorer, terminal
from bridge.report.baseline import judge, read_baseline
from bridge.report.build import build
from bridge.report.diff import diff
from bridge.report.gates import evaluate, metrics_of
from bridge.report.gates import parse as parse_gate
from bridge.report.html_report import prepare_page
from bridge.report.ranking import lowest_own
from bridge.report.schema import Report
from bridge.report.stored import read_report
from bridge.report.terminal import show

__all__ = [
    "BINARY",
    "FORMATS",
    "RENDERERS",
    "BinaryRenderer",
    "Renderer",
    "Report",
    "build",
    "diff",
    "evaluate",
    "judge",
    "lowest_own",
    "metrics_of",
    "parse_gate",
    "prepare_page",
    "read_baseline",
    "read_report",
    "renderer",
    "show",
    "write",
]


class Renderer(Struct, frozen=True):
    """A format of text: the name of its file and what makes it."""

    file: str
    render: Callable[[Report], str]

    def content(self, report: Report) -> bytes:
        """What the file holds, in UTF-8."""
        return self.render(report).encode()


class BinaryRenderer(Struct, frozen=True):
    """A format that no terminal shows."""

    file: str
    content: Callable[[Report], bytes]


RENDERERS: Mapping[str, Renderer] = MappingProxyType(
    {
        "json": Renderer("report.json", Report.to_json),
        "html": Renderer("report.html", html_report.render),
        "markdown": Renderer("report.md", markdown_report.render),
        "junit": Renderer("junit.xml", junit_report.render),
        "terminal": Renderer("report.txt", terminal.render),
        "github": Renderer("annotations.txt", github_report.render),
        "csv": Renderer("layers.csv", layer_table.render_csv),
        "model-explorer": Renderer("inherited_sqnr.node_data.json", model_explorer.inherited),
        "model-explorer-own": Renderer("own_sqnr.node_data.json", model_explorer.own),
    }
)
BINARY: Mapping[str, BinaryRenderer] = MappingProxyType({"parquet": BinaryRenderer("layers.parquet", layer_table.parquet)})
FORMATS = ("json", "html", "markdown", "junit")  # what a conversion writes


def renderer(name: str) -> Renderer | BinaryRenderer:
    """The format of a name.

    Raises:
        UsageError: nobody knows it.
    """
    known: Mapping[str, Renderer | BinaryRenderer] = {**RENDERERS, **BINARY}
    if name not in known:
        raise UsageError(f"Unknown report format. Received: {name!r}.", hint=f"Known formats: {', '.join(known)}.")
    return known[name]


def write(report: Report, folder: Path, formats: Iterable[str] = FORMATS) -> Mapping[str, Path]:
    """Writes the report in each format, returns format -> file. A file is written whole or not at all, in UTF-8.

    Raises:
        UsageError: a format nobody knows; nothing is written.
        OSError: the folder is not writable.
    """
    chosen = {name: renderer(name) for name in formats}
    contents = {name: one.content(report) for name, one in chosen.items()}
    files = {name: folder / one.file for name, one in chosen.items()}
    for name, content in contents.items():
        write_bytes(files[name], content)
    return MappingProxyType(files)
