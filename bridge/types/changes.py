"""Where rules change what a model computes, and by how much."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

ChangeKind = Literal["replace", "clip"]


class Change(Struct, frozen=True):
    """One tensor that rules make another one of.

    Attributes:
        kind: `replace` an activation function, or `clip` what a node writes.
        node: `NodeFacts.name`; for a clipped model input a node that reads it.
        tensor: the tensor that changes, in the user's name.
        function: what is replaced (`gelu`, `silu`, ...); empty for a clip.
        by: name of the replacement, or the bounds of the clip.
        in_graph: whether the float file does it; a clip of integers is done by their range alone.
        rule: its id.
        file: rule file.
        line: line of the rule in it, counted from 1.
    """

    kind: ChangeKind
    node: str
    tensor: str
    function: str
    by: str
    in_graph: bool
    rule: str
    file: str
    line: int


class ChangeEffect(Struct, frozen=True):
    """The error that one change makes by itself in float, without any quantization.

    Attributes:
        sqnr_db: at the changed tensor, computed from the inputs that the unchanged model gives it.
        outputs: model output -> SQNR against the unchanged model.
    """

    change: Change
    sqnr_db: float
    outputs: Mapping[str, float]


class ChangeEffects(Struct, frozen=True):
    """What the changes do, each for itself and `together` (model output -> SQNR), over so many samples."""

    each: tuple[ChangeEffect, ...]
    together: Mapping[str, float]
    samples: int
