"""What the page's script needs to draw the graph: numbers only, so that no name can be anything else there; names stand in the layer table."""

import json
from collections.abc import Mapping, Sequence

from msgspec import Struct

from bridge.report.graph_layout import layout
from bridge.report.schema import Layer, Node, Report

STEPS = 20  # columns are written in steps of a twentieth


class GraphView(Struct, frozen=True):
    """The drawn graph.

    Attributes:
        nodes: how many are drawn.
        islands: how many groups in another precision.
        rows: name of a drawn node -> its row of the layer table.
        data: JSON: `steps`; `nodes` as [row of the layer table, column, rank, island or -1]; `edges` as [writer, reader, column at each rank between],
            writers and readers as positions in `nodes`; columns in steps.
    """

    nodes: int
    islands: int
    rows: Mapping[str, int]
    data: str

    def target(self, row: int, node: Node) -> int | None:
        """The row of the node that is drawn for the one in a row; None where that is the row itself, or nothing is drawn."""
        found = self.rows.get(node.into or node.name)
        return None if found == row else found


def graph_view(report: Report) -> GraphView | None:
    """The view, None for a report without edges."""
    if not report.edges:
        return None
    rows = _rows(report.layers)
    drawn = [position for position, node in enumerate(report.nodes) if _drawn(node) and node.name in rows]
    places = {position: place for place, position in enumerate(drawn)}
    edges = [(places[writer], places[reader]) for writer, reader in report.edges if writer in places and reader in places]
    placed = layout(range(len(drawn)), edges)
    island_of = {name: number for number, island in enumerate(report.islands) for name in island.nodes}
    names = [report.nodes[position].name for position in drawn]
    data = {
        "steps": STEPS,
        "nodes": [
            [rows[name], _step(column), rank, island_of.get(name, -1)]
            for name, (column, rank) in zip(names, (placed.places[place] for place in range(len(names))), strict=True)
        ],
        "edges": [[*edge, *map(_step, route)] for edge, route in placed.routes.items()],
    }
    return GraphView(len(drawn), len(report.islands), {name: rows[name] for name in names}, json.dumps(data, separators=(",", ":")))


def _rows(layers: Sequence[Layer]) -> dict[str, int]:
    """Node -> the row of its tensor with the lowest own SQNR, else of its first tensor."""
    found: dict[str, int] = {}
    for row, layer in enumerate(layers):
        known = found.setdefault(layer.node, row)
        if _own(layer) < _own(layers[known]):
            found[layer.node] = row
    return found


def _own(layer: Layer) -> float:
    return float("inf") if layer.own_sqnr_db is None else layer.own_sqnr_db


def _drawn(node: Node) -> bool:
    """Whether the node stands for itself in the normalised graph."""
    return node.status == "kept" or node.into == node.name


def _step(column: float) -> int:
    return round(column * STEPS)
