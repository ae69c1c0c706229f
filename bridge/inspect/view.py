"""An inspection on a terminal: as long as the model has kinds of things, not as it has nodes."""

import io
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from bridge.inspect.overview import Inspection
from bridge.rules.wording import cut, printable
from bridge.types import TensorSpec

WIDTH = 120  # of `render`; a terminal has its own
NAMED = 3  # names shown of a list; --json has all
KINDS = 12  # operators shown
FINDINGS = 20
GRAVEST = ("error", "warning", "info")
STYLES = {"info": "dim", "warning": "yellow", "error": "bold red"}


def show(inspection: Inspection, console: Console) -> None:
    """Prints the inspection."""
    for part in _parts(inspection):
        console.print(part)


def render(inspection: Inspection) -> str:
    """The same as plain text."""
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, force_terminal=False, legacy_windows=False)
    with console.capture() as captured:
        show(inspection, console)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"


def _parts(inspection: Inspection) -> Iterator[RenderableType]:
    yield Text(f"{_clean(inspection.path or 'model')}  {inspection.framework}, sha256 {inspection.sha256[:12]}", "bold")
    yield from (_tensor("input", spec) for spec in inspection.inputs)
    yield from (_tensor("output", spec) for spec in inspection.outputs)
    nodes, source_nodes = sum(inspection.ops.values()), sum(inspection.source_ops.values())
    yield Text(f"{source_nodes} nodes: {_counts(inspection.source_ops)}")
    yield Text(f"{nodes} after normalising: {_counts(inspection.ops)}")
    yield Text(f"patterns: {_counts(inspection.patterns) or 'none'}")
    yield ""
    yield _precisions(inspection)
    yield from _rules(inspection)
    yield from _findings(inspection)


def _tensor(role: str, spec: TensorSpec) -> Text:
    return Text.assemble((f"{role:<6} ", "dim"), f"{_clean(spec.name)}  {spec.dtype} [{', '.join(map(str, spec.shape))}]")


def _precisions(inspection: Inspection) -> Text:
    counts: dict[str, int] = {}
    for node in inspection.nodes:
        counts[node.precision] = counts.get(node.precision, 0) + 1
    return Text(f"precision: {_counts(counts) or 'no nodes'}")


def _rules(inspection: Inspection) -> Iterator[RenderableType]:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("rule", "from", "action", "matches", "decides", "nodes"):
        table.add_column(column, justify="right" if column in ("matches", "decides") else "left", overflow="fold")
    for rule in inspection.rules:
        if rule.matched:
            cells = (
                _clean(rule.id),
                _clean(f"{rule.file}:{rule.line}"),
                ", ".join(filter(None, (rule.precision, rule.range, rule.replace))),
                str(len(rule.matched)),
                str(len(rule.deciding)),
            )
            table.add_row(*map(Text, cells), Text(_names(rule.deciding or rule.matched)), style=None if rule.deciding else "dim")
    if table.row_count:
        yield table
    idle = [_clean(rule.id) for rule in inspection.rules if not rule.matched]
    if idle:
        yield Text(f"rules that match nothing: {', '.join(idle)}", "dim")


def _findings(inspection: Inspection) -> Iterator[RenderableType]:
    if inspection.diagnostics:
        yield ""
    for finding in sorted(inspection.diagnostics, key=lambda finding: GRAVEST.index(finding.severity))[:FINDINGS]:
        where = f" {_clean(finding.node)}:" if finding.node else ""
        text = f"{where} {cut(printable(finding.message), limit=400)} {finding.hint}".rstrip()
        yield Text.assemble((f"{finding.severity} [{finding.code}]:", STYLES[finding.severity]), text)
    if len(inspection.diagnostics) > FINDINGS:
        yield Text(f"and {len(inspection.diagnostics) - FINDINGS} more findings, --json lists all", "dim")


def _counts(counts: Mapping[str, int]) -> str:
    shown = [f"{_clean(name)} {count}" for name, count in list(counts.items())[:KINDS]]
    return ", ".join(shown) + (f" and {len(counts) - KINDS} more kinds" if len(counts) > KINDS else "")


def _names(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(map(_clean, names[:NAMED])) + (f" and {more} more" if more > 0 else "")


def _clean(name: str) -> str:
    return cut(printable(name), limit=100)
