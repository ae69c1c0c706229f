"""x / sqrt(mean(x^2) + epsilon) * scale: marked as a region, since the operator (opset 23) has no counterpart in converters."""

import onnx_ir as ir

from bridge.graph.patterns import matching
from bridge.graph.patterns.norm_regions import norm_groups

NAME = "rms_norm"


def recognise(model: ir.Model) -> None:
    """Marks every RMS normalisation of the graph."""
    matching.mark_all((node for node in model.graph if matching.is_op(node, "RMSNormalization")), NAME)
    for group in norm_groups(model.graph):
        for candidate in group:
            if candidate.norm.kind == NAME:
                matching.mark_all(candidate.nodes, NAME)
