"""The rows of the page's layer table. A model has thousands of them, for which a template takes four times as long as the strings need."""

from collections.abc import Mapping
from functools import lru_cache

from markupsafe import Markup, escape

from bridge.report.cells import kind, sort_key, suspicion, tint
from bridge.report.graph_view import GraphView
from bridge.report.schema import Layer, Node, Report
from bridge.report.wording import MAX_NAME, number, significant, visible, worst_samples

REMEMBERED = 1 << 12  # texts: kinds of operators, rules and reasons stand in many rows


def layer_rows(report: Report, nodes: Mapping[str, Node], graph: GraphView | None) -> Markup:
    """One row per layer and line, everything in it escaped.

    Args:
        report: whose layers they are.
        nodes: its nodes by name.
        graph: what is drawn, to lead there.
    """
    metrics = [metric.name for metric in report.metrics]
    lines = []
    for place, layer in enumerate(report.layers):
        node = nodes[layer.node]
        target = None if graph is None else graph.target(place, node)
        into = "" if target is None else f' data-into="{target}"'
        lines.append(f'<tr id="row-{place}" {_attributes(layer, node)}{into}{_samples(layer)}>{_cells(place + 1, layer, node, metrics)}</tr>\n')
    return Markup("".join(lines))  # of escaped parts


def _attributes(layer: Layer, node: Node) -> str:
    return f'data-precision="{_text(node.precision or "none")}" data-status="{_text(layer.status)}" data-kind="{kind(node.precision)}" data-name="{_text(node.name)}"'


def _samples(layer: Layer) -> str:
    return f' data-samples="{escape(worst_samples(layer.worst_samples))}"' if layer.worst_samples else ""


def _cells(order: int, layer: Layer, node: Node, metrics: list[str]) -> str:
    tensor = f'<small class="one">{_name(layer.tensor, 80)}</small>' if layer.tensor != node.name else ""
    scope = f'<small class="two">{_name(node.scope, 80)}</small>' if node.scope and node.scope not in node.name else ""
    more = layer.reason if layer.reason and layer.reason != node.reason else ""
    further = f'<small class="two">{_text(more, 240)}</small>' if more else ""
    values = [_number(layer.metrics.get(metric)) for metric in metrics]
    return "".join(
        [
            f'<td class="n" data-v="{order}">{order}</td>',
            f'<td title="{_text(node.name)}"><div class="two">{_name(node.name)}</div>{tensor}{scope}</td>',
            f"<td>{_name(node.op_type, 40)}</td><td>{_text(layer.status)}</td>",
            f'<td><span class="chip {kind(node.precision)}">{_text(node.precision or "no op", 40)}</span></td>',
            f"<td>{_name(node.rule, 60) if node.rule else ''}</td>",
            *map(_decibel, (layer.conversion_sqnr_db, layer.inherited_sqnr_db, layer.own_sqnr_db)),
            f'<td class="n {suspicion(layer.rmse_over_scale)}" data-v="{sort_key(layer.rmse_over_scale)}">{number(layer.rmse_over_scale, 2)}</td>',
            *(f'<td class="n" data-v="{key}">{value}</td>' for key, value in (_number(layer.max_abs), *values)),
            f'<td title="{_text(f"{node.reason} {more}" if more else node.reason, 600)}"><div class="two">{_text(node.reason, 240)}</div>{further}</td>',
        ]
    )


def _decibel(value: float | None) -> str:
    return f'<td class="n {tint(value)}" data-v="{sort_key(value)}">{number(value)}</td>'


def _number(value: float | None) -> tuple[str, str]:
    return sort_key(value), significant(value)


@lru_cache(REMEMBERED)
def _text(text: str, limit: int = MAX_NAME) -> str:
    return str(escape(visible(text, limit)))


@lru_cache(REMEMBERED)
def _name(text: str, limit: int = MAX_NAME) -> str:
    title = f' title="{_text(text, 2000)}"' if len(text) > limit else ""
    return f"<bdi{title}>{_text(text, limit)}</bdi>"
