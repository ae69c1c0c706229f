"""The nodes around the one that a matcher looks at."""

from collections.abc import Hashable, Sequence

from bridge.types import NodeFacts


class Context:
    """All nodes of the graph in topological order, with the questions about them that need more than one node.

    Answers are kept, so that asking for every node costs no more than asking once.
    """

    def __init__(self, nodes: Sequence[NodeFacts]) -> None:
        self.nodes = tuple(nodes)
        self.names_classes = any(node.module_classes for node in self.nodes)  # whether the file tells the classes of its modules
        self.answers: dict[Hashable, frozenset[str]] = {}  # of matchers that ask all nodes something, by matcher
        self._ranks: dict[frozenset[str], dict[str, int]] = {}
        self._regions: dict[tuple[frozenset[str], frozenset[str]], frozenset[str]] = {}

    def rank(self, node: NodeFacts, op_types: frozenset[str]) -> tuple[int | None, int]:
        """Place of the node among those of the op types, counted from 0 (None for another op type), and how many there are."""
        if op_types not in self._ranks:
            names = (other.name for other in self.nodes if other.op_type in op_types)
            self._ranks[op_types] = {name: place for place, name in enumerate(names)}
        ranks = self._ranks[op_types]
        return ranks.get(node.name), len(ranks)

    def between(self, start: frozenset[str], end: frozenset[str]) -> frozenset[str]:
        """Names of the nodes on any path from a tensor of `start` to a tensor of `end`; an empty set means the model's own inputs or outputs."""
        key = (start, end)
        if key not in self._regions:
            after = self._after(start) if start else {node.name for node in self.nodes}
            before = self._before(end) if end else {node.name for node in self.nodes}
            self._regions[key] = frozenset(after & before)
        return self._regions[key]

    def _after(self, tensors: frozenset[str]) -> set[str]:
        reached, names = set(tensors), set()
        for node in self.nodes:
            if any(spec.name in reached for spec in node.inputs):
                names.add(node.name)
                reached.update(spec.name for spec in node.outputs)
        return names

    def _before(self, tensors: frozenset[str]) -> set[str]:
        needed, names = set(tensors), set()
        for node in reversed(self.nodes):
            if any(spec.name in needed for spec in node.outputs):
                names.add(node.name)
                needed.update(spec.name for spec in node.inputs)
        return names
