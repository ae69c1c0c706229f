"""Which nodes of the user's file each node stands for; kept in node metadata so that it survives cloning, passes and saving."""

import json
from collections.abc import Iterable

import onnx_ir as ir

ORIGINS = "bridge.origins"  # JSON list of source node names, in the source's order
NAME = "bridge.name"  # the user's name of the node
PATTERN = "bridge.pattern"  # what the node is or belongs to


def origins(node: ir.Node) -> tuple[str, ...]:
    """Names of the source nodes that `node` stands for, empty for one that a pass made from nothing."""
    return tuple(json.loads(node.metadata_props.get(ORIGINS, "[]")))


def name(node: ir.Node) -> str:
    """The user's name of the node, empty for one that a pass made from nothing."""
    return node.metadata_props.get(NAME, "")


def pattern(node: ir.Node) -> str | None:
    """What was recognised, None if nothing was."""
    return node.metadata_props.get(PATTERN)


def stamp(node: ir.Node, source_name: str) -> None:
    """Marks `node` as the source node `source_name` itself."""
    node.metadata_props[NAME] = source_name
    node.metadata_props[ORIGINS] = json.dumps([source_name])


def mark(node: ir.Node, recognised: str) -> None:
    """Notes that `node` is, or belongs to, the pattern `recognised`."""
    node.metadata_props[PATTERN] = recognised


def inherit(new: Iterable[ir.Node], old: Iterable[ir.Node], *, main: ir.Node, recognised: str | None = None) -> None:
    """Lets `new` nodes stand for `old` ones under the name of `main`, with its scope metadata.

    Args:
        new: the replacement; every node of it carries the same names.
        old: what it replaces, in topological order; contains `main`.
        main: the node whose name users will look for.
        recognised: the pattern it is, if any.
    """
    names = list(dict.fromkeys(source for node in old for source in origins(node)))
    for node in new:
        node.metadata_props.update({key: value for key, value in main.metadata_props.items() if not key.startswith("bridge.")})
        node.metadata_props[NAME] = name(main)
        node.metadata_props[ORIGINS] = json.dumps(names)
        if recognised is not None:
            mark(node, recognised)
