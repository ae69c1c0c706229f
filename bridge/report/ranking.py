"""The layers that lose most by themselves, where their error comes from, and the rule that would leave each of them float."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from bridge.report.rule_text import float_rule
from bridge.report.schema import Layer, Node, Output, WorstLayer

SHOWN = 3
IDEAL_ROUNDING = 0.29  # 1 / sqrt(12): uniform rounding error in units of the scale
SUSPECT = 0.7  # TensorFlow's quantization debugger calls a layer suspect from here on

# First row whose bound holds says where the error comes from.
CAUSES = (
    (0.4, "The output is rounded as well as its scale allows: its range is far wider than most of its values. Clip the range or leave it float."),
    (SUSPECT, "Somewhat more than the rounding of its output: look at the ranges of its inputs."),
    (math.inf, "Far more than the rounding of its output: its inputs or weights do not fit one scale. Leave it float."),
)
GOOD_DB = 30.0  # int8 rounding of a bell-shaped tensor alone leaves 35 to 40
GOOD = "A good layer; there is little to gain here."
UNKNOWN_CAUSE = "Leave it float, or look at the ranges of its inputs."
FLOATS = frozenset({"float32", "float16"})
READS_INTEGERS = "It runs in float already: what it loses is the rounding of what it reads. Leave the integer nodes before it float too."
WRITES_INTEGERS = "It runs in float already: what it loses is the rounding of what it writes for its integer readers."
MAX_BEFORE = 8  # nodes that a rule for what a float node reads names


class Measured(Protocol):
    """A row with an own error."""

    @property
    def own_sqnr_db(self) -> float | None:
        """In dB; None where it was not measured."""


def worst_layers(layers: Sequence[Layer], nodes: Mapping[str, Node], edges: Sequence[tuple[int, int]], samples: int) -> tuple[WorstLayer, ...]:
    """Up to three layers with the lowest own SQNR, worst first; NaN is worse than any number, infinite ones are left out.

    Args:
        layers: in the order of the file.
        nodes: by name, in the order of the file.
        edges: between them, as positions.
        samples: that the errors are over.
    """
    rows = list(nodes.values())
    before: dict[str, list[Node]] = defaultdict(list)
    for writer, reader in edges:
        before[rows[reader].name].append(rows[writer])
    return tuple(
        _worst(own, layer, nodes[layer.node], _integers(nodes[layer.node].into or layer.node, before), samples) for own, layer in lowest_own(layers)
    )


def _integers(name: str, before: Mapping[str, Sequence[Node]]) -> list[str]:
    """The nearest nodes before one that compute on integers, seen through float ones."""
    seen, waiting, found = {name}, [name], list[str]()
    for reader in waiting:  # grows while it is read
        for node in before.get(reader, ()):
            if node.name in seen:
                continue
            seen.add(node.name)
            if node.precision in FLOATS or node.precision is None:
                waiting.append(node.name)
            else:
                found.append(node.name)
    return found


def lowest_own[Row: Measured](layers: Iterable[Row]) -> list[tuple[float, Row]]:
    """Those with the lowest own SQNR and that figure, in this order, at most SHOWN."""
    measured = [(layer.own_sqnr_db, layer) for layer in layers if layer.own_sqnr_db is not None and layer.own_sqnr_db != math.inf]
    return sorted(measured, key=lambda item: _badness(item[0]))[:SHOWN]  # stable: file order among equals


def worst_output(outputs: Sequence[Output]) -> str | None:
    """Name of the output with the lowest SQNR, None when none was measured."""
    measured = [(output.sqnr_db, output.name) for output in outputs if output.sqnr_db is not None]
    return min(measured, key=lambda item: _badness(item[0]))[1] if measured else None


def _badness(sqnr_db: float) -> float:
    """A key that sorts NaN before every number."""
    return -math.inf if math.isnan(sqnr_db) else sqnr_db


def _worst(own_sqnr_db: float, layer: Layer, node: Node, integers: Sequence[str], samples: int) -> WorstLayer:
    is_float = node.precision in FLOATS
    asked = integers if is_float else [node.into or node.name]
    return WorstLayer(
        node=layer.node,
        tensor=layer.tensor,
        op_type=node.op_type,
        precision=node.precision,
        own_sqnr_db=own_sqnr_db,
        inherited_sqnr_db=layer.inherited_sqnr_db,
        rmse_over_scale=layer.rmse_over_scale,
        reason=node.reason,
        hint=_hint(own_sqnr_db, layer.rmse_over_scale, is_float=is_float, reads_integers=bool(asked)),
        rule=_rule(node.name, asked, own_sqnr_db, samples) if 0 < len(asked) <= MAX_BEFORE else "",
    )


def _hint(own_sqnr_db: float, rmse_over_scale: float | None, *, is_float: bool, reads_integers: bool) -> str:
    if is_float and own_sqnr_db < GOOD_DB:
        return READS_INTEGERS if reads_integers else WRITES_INTEGERS
    return cause(own_sqnr_db, rmse_over_scale)


def _rule(node: str, asked: Sequence[str], own_sqnr_db: float, samples: int) -> str:
    whose = "" if node in asked else f" of {node}"
    return float_rule(f"own-error-{node.strip('/')}", f"Own SQNR{whose} {own_sqnr_db:.1f} dB{f' over {samples} samples' if samples else ''}.", asked)


def cause(own_sqnr_db: float, rmse_over_scale: float | None) -> str:
    """Where a layer's own error comes from, judged by its size in units of the output's scale."""
    if own_sqnr_db >= GOOD_DB:
        return GOOD
    if rmse_over_scale is None or math.isnan(rmse_over_scale):
        return UNKNOWN_CAUSE
    return next(text for bound, text in CAUSES if rmse_over_scale <= bound)
