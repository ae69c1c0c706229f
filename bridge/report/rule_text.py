"""Entries for a rule file, ready to paste."""

import json
import re
from collections.abc import Sequence

GLOB_SIGNS = frozenset("*?[]\\{}")
MAX_GLOB, MAX_REGEX = 1000, 256  # characters that a rule file takes


def float_rule(name: str, reason: str, nodes: Sequence[str]) -> str:
    """A TOML entry that leaves the nodes float; empty when one of their names cannot stand in a rule file.

    Args:
        name: what the id is made of; a path is written with dashes.
        reason: why, with the measurement.
        nodes: names of the user's nodes.
    """
    conditions = [condition for condition in map(_named, nodes) if condition]
    if len(conditions) < len(nodes):
        return ""
    lines = [f"match = [{conditions[0]}]"]
    if len(conditions) > 1:
        lines = ['match = [{ kind = "any", conditions = [', *(f"    {condition}," for condition in conditions), "] }]"]
    return "\n".join(
        (
            "[[rules]]",
            f"id = {_toml(name.strip('/').replace('/', '-'))}",
            f"reason = {_toml(reason)}",
            *lines,
            'precision = "float32"',
        )
    )


def name_pattern(node: str) -> tuple[str, str] | None:
    """`glob` or `regex` and the pattern that fits one node alone, None if there is none; a name with signs of a glob needs a regular expression."""
    kind, pattern, limit = ("regex", re.escape(node), MAX_REGEX) if GLOB_SIGNS & set(node) else ("glob", node, MAX_GLOB)
    return (kind, pattern) if node.isprintable() and 0 < len(pattern) <= limit else None


def _named(node: str) -> str:
    """The condition that holds for one node, '' if there is none."""
    found = name_pattern(node)
    return "" if found is None else f'{{ kind = "name", {found[0]} = {_toml(found[1])} }}'


def _toml(text: str) -> str:
    """A basic string of TOML, which for printable text is spelt as in JSON."""
    return json.dumps(text, ensure_ascii=False)
