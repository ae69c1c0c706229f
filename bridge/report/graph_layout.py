"""Where the nodes of a graph are drawn: in layers by depth, the inputs at the top, in a time that grows with the graph and no faster.

The steps are Sugiyama's (K. Sugiyama, S. Tagawa, M. Toda: Methods for visual understanding of hierarchical system structures, 1981): a rank for
every node, a bend for every rank that an edge passes, an order inside each rank by the mean place of the neighbours, then coordinates. Those are
the least-squares solution of "at the mean of the neighbours, in this order, never closer than 1", which pooling adjacent violators finds.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from msgspec import Struct

SWEEPS = 4  # down, up, down, up
BENDS_PER_NODE = 4  # edges whose bends would be more are drawn straight, the longest first


class Layout(Struct, frozen=True):
    """A drawn graph.

    Attributes:
        places: node -> (column, rank); columns of one rank are at least 1 apart, the smallest of all is 0.
        routes: (writer, reader) -> column at each rank between them, empty where the edge is drawn straight.
    """

    places: Mapping[int, tuple[float, int]]
    routes: Mapping[tuple[int, int], tuple[float, ...]]


def layout(nodes: Sequence[int], edges: Iterable[tuple[int, int]]) -> Layout:
    """Places nodes without cycles.

    Args:
        nodes: in any order, edges go from a writer to a reader.
        edges: each once.
    """
    edges = [edge for edge in edges if edge[0] != edge[1]]
    ranks = _ranks(nodes, edges)
    bent = _bent(edges, ranks, BENDS_PER_NODE * len(nodes))
    rank_of = dict(ranks)
    chains: dict[tuple[int, int], list[int]] = {}
    fresh = max(nodes, default=0) + 1
    for writer, reader in bent:
        between = range(ranks[writer] + 1, ranks[reader])
        chains[writer, reader] = list(range(fresh, fresh + len(between)))
        rank_of.update(zip(chains[writer, reader], between, strict=True))
        fresh += len(between)
    columns = _columns(rank_of, [pair for edge, chain in chains.items() for pair in _steps(edge, chain)])
    left = min(columns.values(), default=0.0)
    routes = {edge: tuple(columns[bend] - left for bend in chains.get(edge, ())) for edge in edges}
    return Layout({node: (columns[node] - left, ranks[node]) for node in nodes}, routes)


def _ranks(nodes: Sequence[int], edges: Sequence[tuple[int, int]]) -> dict[int, int]:
    """Length of the longest path from an input; a node that reads nothing stands right above its first reader."""
    readers: dict[int, list[int]] = defaultdict(list)
    missing = dict.fromkeys(nodes, 0)
    for writer, reader in edges:
        readers[writer].append(reader)
        missing[reader] += 1
    sources = [node for node in nodes if not missing[node]]
    ranks = dict.fromkeys(nodes, 0)
    ready = list(sources)
    for node in ready:  # grows while it is read
        for reader in readers[node]:
            ranks[reader] = max(ranks[reader], ranks[node] + 1)
            missing[reader] -= 1
            if not missing[reader]:
                ready.append(reader)
    for node in sources:
        ranks[node] = max(0, min((ranks[reader] for reader in readers[node]), default=1) - 1)
    return ranks


def _bent(edges: Iterable[tuple[int, int]], ranks: Mapping[int, int], budget: int) -> list[tuple[int, int]]:
    """The edges that get a bend per rank: the shortest, until the budget is used up."""
    found = []
    for edge in sorted(edges, key=lambda edge: ranks[edge[1]] - ranks[edge[0]]):
        budget -= ranks[edge[1]] - ranks[edge[0]] - 1
        if budget < 0:
            break
        found.append(edge)
    return found


def _steps(edge: tuple[int, int], chain: Sequence[int]) -> Iterable[tuple[int, int]]:
    """The edge in pieces that go one rank down."""
    return pairwise((edge[0], *chain, edge[1]))


def _columns(rank_of: Mapping[int, int], steps: Iterable[tuple[int, int]]) -> dict[int, float]:
    """Column of every node and bend."""
    above: dict[int, list[int]] = defaultdict(list)
    below: dict[int, list[int]] = defaultdict(list)
    for upper, lower in steps:
        above[lower].append(upper)
        below[upper].append(lower)
    layers: list[list[int]] = [[] for _ in range(max(rank_of.values(), default=-1) + 1)]
    for point, rank in rank_of.items():
        layers[rank].append(point)
    columns = {point: float(place) for layer in layers for place, point in enumerate(layer)}
    for sweep in range(SWEEPS):
        neighbours, order = (above, layers) if sweep % 2 == 0 else (below, layers[::-1])
        for layer in order:
            wanted = {point: _mean([columns[other] for other in neighbours[point]], columns[point]) for point in layer}
            layer.sort(key=wanted.__getitem__)
            columns.update(zip(layer, _apart([wanted[point] for point in layer]), strict=True))
    return columns


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _apart(wanted: Sequence[float]) -> list[float]:
    """The ascending columns nearest to those wanted, by the sum of squares, that are at least 1 apart."""
    blocks: list[tuple[float, int]] = []  # mean of (wanted - position), members
    for position, column in enumerate(wanted):
        mean, members = column - position, 1
        while blocks and blocks[-1][0] >= mean:
            before, count = blocks.pop()
            mean, members = (before * count + mean * members) / (count + members), count + members
        blocks.append((mean, members))
    return [mean + position for position, mean in enumerate(mean for mean, members in blocks for _ in range(members))]
