"""The `replacements` block: where rules change what the model computes, and what that costs by itself in float."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from bridge.report.parts import Part, Real
from bridge.types import Change, ChangeEffects


class OutputEffect(Part):
    """SQNR of one model output against the model without the change."""

    name: str
    sqnr_db: Real


class ModelChange(Part):
    """One tensor that a rule makes another one of.

    Attributes:
        kind: `replace` an activation function, or `clip` what a node writes.
        function: what is replaced; empty for a clip.
        by: name of the replacement, or the bounds of the clip.
        in_graph: whether the float file does it; a clip of integers is done by their range alone, so the float file is not clipped.
        sqnr_db: at the tensor, computed from the inputs that the unchanged model gives it; None where nothing was compared.
        outputs: of the model with this change alone.
    """

    kind: Literal["replace", "clip"]
    node: str
    tensor: str
    function: str = ""
    by: str
    in_graph: bool
    rule: str
    file: str
    line: int
    sqnr_db: Real | None = None
    outputs: tuple[OutputEffect, ...] = ()

    @property
    def worst_db(self) -> float | None:
        """SQNR of the output that this change alone moves most."""
        return min((output.sqnr_db for output in self.outputs), default=None)

    @property
    def what(self) -> str:
        """The change in a few words."""
        if self.kind == "replace":
            return f"{self.function} by {self.by}"
        return f"clip {self.by}" + ("" if self.in_graph else " (by its integer range)")


class ModelChanges(Part):
    """All changes, and the outputs with all of them `together`, in float onnxruntime over `samples` evaluation samples."""

    changes: tuple[ModelChange, ...] = ()
    together: tuple[OutputEffect, ...] = ()
    samples: int = 0

    @property
    def worst_first(self) -> tuple[ModelChange, ...]:
        """Those that move an output most, first."""
        return tuple(sorted(self.changes, key=lambda change: math.inf if change.worst_db is None else change.worst_db))


def changes_block(changes: Sequence[Change], effects: ChangeEffects | None) -> ModelChanges:
    """The block; without `effects` (nothing was compared) it has no figures."""
    measured = {one.change: one for one in effects.each} if effects else {}
    rows = []
    for change in changes:
        effect = measured.get(change)
        rows.append(
            ModelChange(
                kind=change.kind,
                node=change.node,
                tensor=change.tensor,
                function=change.function,
                by=change.by,
                in_graph=change.in_graph,
                rule=change.rule,
                file=change.file,
                line=change.line,
                sqnr_db=effect.sqnr_db if effect else None,
                outputs=_outputs(effect.outputs) if effect else (),
            )
        )
    return ModelChanges(changes=tuple(rows), together=_outputs(effects.together) if effects else (), samples=effects.samples if effects else 0)


def _outputs(errors: Mapping[str, float]) -> tuple[OutputEffect, ...]:
    return tuple(OutputEffect(name=name, sqnr_db=error) for name, error in errors.items())
