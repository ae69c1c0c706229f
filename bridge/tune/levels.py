"""What moves together: single nodes, or all of a module, of a pattern, of an operator."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from bridge.types import NodeFacts

LEVELS: Mapping[str, Callable[[NodeFacts], str]] = MappingProxyType(
    {
        "node": lambda node: node.name,
        "block": lambda node: node.scope or node.name,
        "pattern": lambda node: node.patterns[0] if node.patterns else node.name,
        "op_type": lambda node: node.op_type,
    }
)


def groups(nodes: Sequence[NodeFacts], level: str) -> Mapping[str, tuple[str, ...]]:
    """Name of a group -> its nodes, in the order of the model."""
    found: dict[str, list[str]] = {}
    for node in nodes:
        found.setdefault(LEVELS[level](node), []).append(node.name)
    return {name: tuple(members) for name, members in found.items()}
