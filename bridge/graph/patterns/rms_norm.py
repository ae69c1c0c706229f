"""x / sqrt(mean(x^2) + epsilon) * scale: marked as a region, since the operator (opset 23) has no counterpart in converters.

Division by the length of the vector, `x / sqrt(sum(x^2))`, gets the name `l2_norm` unless a scale follows.
"""

from math import isclose

import onnx_ir as ir

from bridge.graph.patterns import matching
from bridge.graph.patterns.norm_regions import Candidate, norm_groups

NAME = "rms_norm"
LENGTH = "l2_norm"


def recognise(model: ir.Model) -> None:
    """Marks every RMS normalisation of the graph."""
    matching.mark_all((node for node in model.graph if matching.is_op(node, "RMSNormalization")), NAME)
    matching.mark_all((node for node in model.graph if matching.is_op(node, "LpNormalization")), LENGTH)
    for group in norm_groups(model.graph):
        if group[0].norm.kind == NAME:
            name = LENGTH if _is_length(group) else NAME
            for candidate in group:
                matching.mark_all(candidate.nodes, name)


def _is_length(group: tuple[Candidate, ...]) -> bool:
    norm = group[0].norm
    return isclose(norm.power.factor, norm.over.count, rel_tol=1e-6) and all(candidate.norm.scale is None for candidate in group)
