"""The `edges` block: which node reads what which other node writes, as positions in `nodes`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

type Links = tuple[str, Iterable[str], Iterable[str]]  # node, tensors that it reads, tensors that it writes


def edges(links: Sequence[Links], nodes: Iterable[str]) -> tuple[tuple[int, int], ...]:
    """(writer, reader) of every tensor between two nodes, each once, in the readers' order.

    Args:
        links: the nodes that are left after normalising.
        nodes: names of the report's `nodes`, in their order.
    """
    positions = {name: position for position, name in enumerate(nodes)}
    writers = {tensor: node for node, _, written in links for tensor in written}
    return tuple(dict.fromkeys(_pairs(links, writers, positions)))


def _pairs(links: Iterable[Links], writers: Mapping[str, str], positions: Mapping[str, int]) -> Iterator[tuple[int, int]]:
    for node, read, _ in links:
        yield from ((positions[writers[tensor]], positions[node]) for tensor in read if tensor in writers)
