"""Groups what `moments` found into normalisations: the nodes of each, and how far one can be taken out of the graph as a whole."""

from collections.abc import Iterator

import onnx_ir as ir
from msgspec import Struct

from bridge.graph.patterns import matching
from bridge.graph.patterns.moments import meanings
from bridge.graph.patterns.norm_terms import Norm, Over, Power


class Candidate(Struct, frozen=True, eq=False):
    """A value that is a normalised tensor, with or without its affine.

    Attributes:
        value: the normalised tensor.
        norm: how it is computed.
        nodes: what computes it from `norm.over.base`, in topological order.
        closed: whether nothing else reads their intermediate values.
    """

    value: ir.Value
    norm: Norm
    nodes: tuple[ir.Node, ...]
    closed: bool


def norm_groups(graph: ir.Graph) -> Iterator[tuple[Candidate, ...]]:
    """All candidates that share their statistics, in topological order: usually `x_hat`, `x_hat * scale` and `x_hat * scale + bias`.

    The last norm of the graph comes first, so that a caller may replace one: what the others are computed from stays.
    """
    groups: dict[tuple[Over, Power], list[tuple[ir.Value, Norm]]] = {}
    for value, meaning in meanings(graph).items():
        if isinstance(meaning, Norm):
            groups.setdefault((meaning.over, meaning.power), []).append((value, meaning))
    for members in reversed(groups.values()):
        yield tuple(_candidate(value, norm) for value, norm in members)


def _candidate(value: ir.Value, norm: Norm) -> Candidate:
    nodes, _ = matching.region(value, lambda read: read is norm.over.base)
    return Candidate(value, norm, tuple(nodes), matching.is_closed(nodes, value))
