"""The report as one HTML file: no network, no script from a name, sortable without a server, readable on paper."""

import base64
import hashlib
from collections.abc import Iterable
from functools import cache
from typing import Any

import jinja2

from bridge import findings
from bridge.report import wording
from bridge.report.cells import kind, sort_key, suspicion, tint
from bridge.report.compiled_pages import CompiledPages
from bridge.report.depth_plot import depth_plot
from bridge.report.graph_view import graph_view
from bridge.report.layer_rows import layer_rows
from bridge.report.ranking import GOOD
from bridge.report.schema import Diagnostic, Report
from bridge.report.value_plots import growth_plot, histogram_plot, weight_plot

TEMPLATES = ("report.html.j2", "graph.html.j2", "values.html.j2", "cost.html.j2")  # the page, and what it includes
SCRIPTS = ("graph.js", "report.js", "copy.js")  # in the order they run


def render(report: Report) -> str:
    """The report as HTML."""
    nodes = {node.name: node for node in report.nodes}
    places = {layer.tensor: (row, nodes[layer.node]) for row, layer in enumerate(report.layers)}
    graph = graph_view(report)
    script, style = "\n".join(map(asset, SCRIPTS)), asset("report.css")
    return (
        environment()
        .get_template(TEMPLATES[0])
        .render(
            report=report,
            layer_rows=layer_rows(report, nodes, graph),
            good=GOOD,
            cards=[(layer, *places[layer.tensor]) for layer in report.summary.worst],
            fired=[rule for rule in report.rules if rule.matched],
            idle=[rule for rule in report.rules if not rule.matched],
            findings=(*report.calibration.warnings, *report.diagnostics),
            why={node.name: node.reason for node in report.nodes},
            outputs={output.name: output for output in report.outputs},
            compressed=wording.compression_rows(report.compression),
            plot=depth_plot(report.layers, report.nodes),
            graph=graph,
            writers={layer.tensor: layer.node for layer in report.layers},
            histograms=[histogram_plot(one) for one in report.histograms],
            growth=growth_plot(report.calibration),
            weights=[weight_plot(one) for one in report.weights],
            script=script,
            script_digest=script_digest(script),
            style=style,
        )
    )


def script_digest(script: str) -> str:
    """What the page's policy allows its own script by."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def one_per_code(findings: Iterable[Diagnostic]) -> list[tuple[Diagnostic, int]]:
    """The first finding of each code and how many more there are of it."""
    groups: dict[str, list[Diagnostic]] = {}
    for finding in findings:
        groups.setdefault(finding.code, []).append(finding)
    return [(group[0], len(group) - 1) for group in groups.values()]


def meaning(code: str) -> str:
    """What a code means and what to do, for a pointer that rests on it; empty for one of another version."""
    found = findings.KINDS.get(code)
    return "" if found is None else f"{found.title} {found.cure}"


@cache
def environment() -> jinja2.Environment:
    """What the pages with figures are made with: everything is escaped, a missing value is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bridge.report"), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.bytecode_cache = CompiledPages(environment)
    environment.filters |= FILTERS
    return environment


def prepare_page() -> None:
    """Loads the templates of `render`, which takes a tenth of a second where they are not compiled yet, and may come at any time before."""
    for name in TEMPLATES:
        environment().get_template(name)


def asset(name: str) -> str:
    """A style or a script of the templates, as text."""
    loader = environment().loader
    assert loader is not None
    return loader.get_source(environment(), name)[0]


FILTERS: dict[str, Any] = {
    "meaning": meaning,
    "visible": wording.visible,
    "number": wording.number,
    "decibel": wording.decibel,
    "significant": wording.significant,
    "percent": wording.percent,
    "about": wording.about,
    "size": wording.size,
    "milliseconds": wording.milliseconds,
    "duration": wording.duration,
    "samples": wording.worst_samples,
    "base_name": wording.base_name,
    "times": wording.times,
    "shape": wording.shape,
    "metric_rows": wording.metric_rows,
    "kind": kind,
    "tint": tint,
    "suspicion": suspicion,
    "one_per_code": one_per_code,
    "sort_key": sort_key,
}
