"""The `islands` block: connected nodes that do not run in the model's precision."""

from collections.abc import Iterator, Mapping, Sequence

from bridge.report.schema import Island, Node
from bridge.types import NodeFacts


def islands(nodes: Sequence[NodeFacts], rows: Mapping[str, Node], precision: str) -> tuple[Island, ...]:
    """Groups of neighbours that do not, or not wholly, run in `precision`, ordered by their first node.

    A node without an operator of its own joins no group and separates none: its neighbours count as neighbours of each other.

    Args:
        nodes: the normalised graph in topological order.
        rows: the report's row of each of them, by name.
        precision: what the model was asked to be.
    """
    group = {node.name: node.name for node in nodes}

    def root(name: str) -> str:
        while group[name] != name:
            group[name] = group[group[name]]
            name = group[name]
        return name

    for writer, reader in _edges(nodes, rows):
        if precision not in (rows[writer].precision, rows[reader].precision):
            group[root(reader)] = root(writer)
    members: dict[str, list[Node]] = {}
    for node in nodes:
        if rows[node.name].precision not in (precision, None):
            members.setdefault(root(node.name), []).append(rows[node.name])
    return tuple(_island(rows_of_group) for rows_of_group in members.values())


def _edges(nodes: Sequence[NodeFacts], rows: Mapping[str, Node]) -> Iterator[tuple[str, str]]:
    """(writer, reader) of every tensor, seen through nodes that have no operator."""
    writers: dict[str, tuple[str, ...]] = {}
    for node in nodes:
        before = tuple(dict.fromkeys(writer for spec in node.inputs for writer in writers.get(spec.name, ())))
        visible = rows[node.name].precision is not None
        if visible:
            yield from ((writer, node.name) for writer in before)
        writers.update((spec.name, (node.name,) if visible else before) for spec in node.outputs)


def _island(rows: Sequence[Node]) -> Island:
    found = {row.precision for row in rows if row.precision}
    return Island(
        precision=found.pop() if len(found) == 1 else "mixed",
        nodes=tuple(row.name for row in rows),
        rules=tuple(dict.fromkeys(row.rule for row in rows if row.rule)),
        reasons=tuple(dict.fromkeys(row.reason for row in rows if row.reason)),
    )
