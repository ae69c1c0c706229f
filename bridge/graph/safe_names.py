"""Names that onnx2tf does not rewrite."""

import re
from collections.abc import Iterable

import onnx_ir as ir

_ASIDE = "\0"
_UNSAFE = re.compile(r"[^A-Za-z0-9_]+")


def safe_names(names: Iterable[str], *, fallback: str) -> dict[str, str]:
    """Unique names of letters, digits and `_` without a leading digit, unique also when case is ignored; safe ones stay.

    Args:
        names: distinct names, most important first.
        fallback: what a name without any letter or digit becomes.
    """
    result: dict[str, str] = {}
    rest: list[tuple[str, str]] = []
    taken: set[str] = set()
    for name in names:
        base = _cleaned(name, fallback)
        if base == name and name.lower() not in taken:
            taken.add(name.lower())
            result[name] = name
        else:
            rest.append((name, base))
    for name, base in rest:
        candidate, count = base, 1
        while candidate.lower() in taken:
            count += 1
            candidate = f"{base}_{count}"
        taken.add(candidate.lower())
        result[name] = candidate
    return result


def _cleaned(name: str, fallback: str) -> str:
    base = _UNSAFE.sub("_", name)
    base = base.strip("_") if base != name else base
    return base if base and not base[0].isdigit() else f"{fallback}_{base}".rstrip("_")


def rename(model: ir.Model) -> tuple[dict[str, str], dict[str, str]]:
    """Renames every value and node.

    Returns:
        Tables from new names back to old ones, of values and of nodes.
    """
    graph = model.graph
    values = dict.fromkeys([*graph.inputs, *graph.outputs, *graph.initializers.values(), *(out for node in graph for out in node.outputs)])
    named = [value for value in values if value.name]
    table = safe_names((str(value.name) for value in named), fallback="tensor")
    for value in named:
        value.name = f"{_ASIDE}{value.name}"  # a swap of two names must not collide in the graph's table of initializers
    for value in named:
        value.name = table[str(value.name).removeprefix(_ASIDE)]
    nodes = safe_names((str(node.name) for node in graph), fallback="node")
    for node in graph:
        node.name = nodes[str(node.name)]
    return {new: old for old, new in table.items()}, {new: old for old, new in nodes.items()}
