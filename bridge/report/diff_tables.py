"""What differs between two reports as tables of text, the same for every format."""

import math
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from bridge.report.diff import Difference, ReportDiff
from bridge.report.wording import NOTHING, number, significant, size

SHOWN = 20  # rows of a table in formats for a quick look
FILE = ("size", "float_macs", "latency")


class DiffTable(Struct, frozen=True):
    """A table: `names` are the columns whose cells come from the model, and are shown as code; `more` counts rows that were left out."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    names: frozenset[int] = frozenset({0})
    more: int = 0


def headline(found: ReportDiff, tolerances: Mapping[str, float]) -> str:
    """`3 measures are worse, 1 node runs in another precision`."""
    worse = sum(is_worse(one, tolerances) for one in found.differences)
    moved = len(found.precisions)
    return f"{_counted(worse, 'measure')} worse than the tolerance, {_counted(moved, 'node')} in another precision"


def tables(found: ReportDiff, tolerances: Mapping[str, float], *, shown: int = SHOWN) -> Iterator[DiffTable]:
    """Tables that have rows: outputs, layers that got worse and better, precisions, the file, nodes of one side only."""
    outputs = [one for one in found.differences if one.kind in ("sqnr", "accuracy", "metric") and not one.before == one.after is None]
    layers = sorted((one for one in found.differences if one.kind == "layer_sqnr" and one.loss), key=lambda one: -(one.loss or 0.0))
    worse = [one for one in layers if is_worse(one, tolerances)]
    better = [one for one in reversed(layers) if (one.loss or 0.0) < -tolerances["layer_sqnr"]]
    head = ("measure", "before", "after", "change", "")
    yield from _table("Outputs and task metrics", ("", *head), [(one.where, *_cells(one, tolerances)) for one in outputs], shown)
    yield from _table("Layers that got worse", ("layer", *head), [(one.where, *_cells(one, tolerances)) for one in worse], shown)
    yield from _table("Layers that got better", ("layer", *head), [(one.where, *_cells(one, tolerances)) for one in better], shown)
    moved = [(one.node, one.op_type, one.before or NOTHING, one.after or NOTHING, one.rule or NOTHING) for one in found.precisions]
    yield from _table("Nodes in another precision", ("node", "op", "before", "after", "rule"), moved, shown, names=frozenset({0, 1, 2, 3, 4}))
    files = [one for one in found.differences if one.kind in FILE and not one.before == one.after is None]
    yield from _table("The file", head, [_cells(one, tolerances) for one in files], shown, names=frozenset())
    lone = [(name, "before") for name in found.only_before] + [(name, "after") for name in found.only_after]
    yield from _table("Nodes of one report only", ("node", "in"), lone, shown)


def is_worse(one: Difference, tolerances: Mapping[str, float]) -> bool:
    """Whether the loss is beyond the tolerance; latency has none, it is noise."""
    return one.lost and one.kind != "layer_sqnr" if one.loss is None else one.loss > tolerances.get(one.kind, math.inf)


def _table(
    title: str, head: tuple[str, ...], rows: Sequence[tuple[str, ...]], shown: int, *, names: frozenset[int] = frozenset({0})
) -> Iterator[DiffTable]:
    if rows:
        yield DiffTable(title, head, tuple(rows[:shown]), names, max(0, len(rows) - shown))


def _cells(one: Difference, tolerances: Mapping[str, float]) -> tuple[str, str, str, str, str]:
    """Measure, both values, what changed, and whether that is worse than the tolerance."""
    write = number if one.kind in ("sqnr", "layer_sqnr") else _bytes if one.kind == "size" else significant
    values = [write(value) for value in (one.before, one.after)]
    return (one.measure, values[0], values[1], _change(one), "worse" if is_worse(one, tolerances) else "")


def _bytes(count: float | None) -> str:
    return size(None if count is None else int(count))


def _change(one: Difference) -> str:
    if one.before is None or one.after is None:
        return NOTHING
    if one.kind in ("size", "latency"):
        return f"{100 * (one.after / one.before - 1):+.1f} %" if one.before else NOTHING
    change = 0.0 if one.before == one.after else one.after - one.before
    return f"{change:+.3g}" if math.isfinite(change) else number(change)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
