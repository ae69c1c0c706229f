"""Which nodes of the user's file each node stands for; kept in node metadata so that it survives cloning, passes and saving."""

import functools
import json
from collections.abc import Iterable

import onnx_ir as ir

ORIGINS = "bridge.origins"  # JSON list of source node names, in the source's order
NAME = "bridge.name"  # the user's name of the node
PATTERN = "bridge.pattern"  # the operation that the node is or is a part of
PLACES = "bridge.places"  # JSON list of larger regions that it lies in
DOMAIN = "bridge.domain"  # of the custom layer that the node is a part of
REFUSED = "bridge.refused"  # why the node could not be spelled out


def origins(node: ir.Node) -> tuple[str, ...]:
    """Names of the source nodes that `node` stands for, empty for one that a pass made from nothing."""
    return _names(node.metadata_props.get(ORIGINS, "[]"))


def name(node: ir.Node) -> str:
    """The user's name of the node, empty for one that a pass made from nothing."""
    return node.metadata_props.get(NAME, "")


def pattern(node: ir.Node) -> str | None:
    """The operation that the node is or is a part of, None if none was recognised."""
    return node.metadata_props.get(PATTERN)


def places(node: ir.Node) -> tuple[str, ...]:
    """The larger regions that the node lies in, in the order they were found."""
    return _names(node.metadata_props.get(PLACES, "[]"))


def stamp(node: ir.Node, source_name: str) -> None:
    """Marks `node` as the source node `source_name` itself."""
    node.metadata_props[NAME] = source_name
    node.metadata_props[ORIGINS] = json.dumps([source_name])


def mark(node: ir.Node, recognised: str) -> None:
    """Notes that `node` is, or is a part of, the operation `recognised`, and no longer of another one."""
    node.metadata_props[PATTERN] = recognised


def place(node: ir.Node, region: str) -> None:
    """Notes that `node` lies in `region`, beside what it already is and lies in."""
    node.metadata_props[PLACES] = json.dumps(list(dict.fromkeys((*places(node), region))))


def keep_domain(node: ir.Node, domain: str) -> None:
    """Notes that `node` is a part of an operator of another domain."""
    node.metadata_props[DOMAIN] = domain


def domain(node: ir.Node) -> str:
    """Domain of the operator that `node` is or is a part of."""
    return node.metadata_props.get(DOMAIN, node.domain)


def refuse(node: ir.Node, reason: str) -> None:
    """Notes why nothing could take the place of `node`."""
    node.metadata_props[REFUSED] = reason


def refused(node: ir.Node) -> str:
    """Why nothing could take the place of `node`, empty if nobody tried."""
    return node.metadata_props.get(REFUSED, "")


def inherit(new: Iterable[ir.Node], old: Iterable[ir.Node], *, main: ir.Node, recognised: str | None = None) -> None:
    """Lets `new` nodes stand for `old` ones under the name of `main`, with its scope metadata, in all places of the old ones.

    Args:
        new: the replacement; every node of it carries the same names.
        old: what it replaces, in topological order; contains `main`.
        main: the node whose name users will look for.
        recognised: the operation it is, that of `main` unless given.
    """
    old = tuple(old)
    kind = pattern(main) if recognised is None else recognised
    regions = [region for node in old for region in places(node)]
    names = list(dict.fromkeys(source for node in old for source in origins(node)))
    for node in new:
        node.metadata_props.update({key: value for key, value in main.metadata_props.items() if not key.startswith("bridge.")})
        node.metadata_props[NAME] = name(main)
        node.metadata_props[ORIGINS] = json.dumps(names)
        if DOMAIN in main.metadata_props:
            keep_domain(node, main.metadata_props[DOMAIN])
        if kind is not None:
            mark(node, kind)
        for region in regions:
            place(node, region)


@functools.lru_cache(1 << 16)  # every step of normalising reads those of every node
def _names(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))
