"""What the recognisers make of a model, with onnxruntime as the judge of the numbers."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from bridge.graph import provenance


@dataclass(frozen=True)
class Outcome:
    """A model after recognition, and its outputs before and after."""

    model: ir.Model
    before: list[np.ndarray]
    after: list[np.ndarray]

    @property
    def ops(self) -> list[str]:
        return [node.op_type for node in self.model.graph]

    @property
    def marks(self) -> dict[str, str | None]:
        """Pattern by name of the (first) tensor that a node writes."""
        return {str(node.outputs[0].name): provenance.pattern(node) for node in self.model.graph}

    def marked(self, pattern: str) -> set[str]:
        return {name for name, mark in self.marks.items() if mark == pattern}

    def node(self, op_type: str) -> ir.Node:
        (found,) = (node for node in self.model.graph if node.op_type == op_type)
        return found

    @property
    def snr_db(self) -> float:
        """Agreement of the worst output."""
        return min(_snr_db(reference, candidate) for reference, candidate in zip(self.before, self.after, strict=True))


def _snr_db(reference: np.ndarray, candidate: np.ndarray) -> float:
    reference, candidate = reference.astype(np.float64), candidate.astype(np.float64)
    noise = float(((reference - candidate) ** 2).sum())
    return float("inf") if noise == 0.0 else float(10 * np.log10((reference**2).sum() / noise))


Recognise = Callable[..., Outcome]
