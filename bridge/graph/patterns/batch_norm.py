"""BatchNormalization nodes that no convolution took in: rescaling layers."""

import onnx_ir as ir

from bridge.graph import provenance
from bridge.graph.patterns import matching

NAME = "batch_norm"


def recognise(model: ir.Model) -> None:
    """Marks every BatchNormalization that is not part of another normalisation."""
    for node in model.graph:
        if matching.is_op(node, "BatchNormalization") and provenance.pattern(node) is None:
            provenance.mark(node, NAME)
