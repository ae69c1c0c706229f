"""Recognises normalisations, activations and attention in every common spelling: fuses them into the standard operator or marks their nodes."""

from collections.abc import Callable

import onnx_ir as ir

from bridge.graph.patterns import batch_norm, channel_norm, gelu, layer_norm, masked_softmax, residual_add, rms_norm, self_gated, softmax

# In this order: a later pattern may look for the marks of an earlier one (residual sums for norms), and what is marked twice keeps the later name.
PATTERNS: tuple[Callable[[ir.Model], None], ...] = (
    channel_norm.recognise,
    layer_norm.recognise,
    rms_norm.recognise,
    batch_norm.recognise,
    gelu.recognise,
    self_gated.recognise,
    softmax.recognise,
    masked_softmax.recognise,
    residual_add.recognise,
)


def recognise(model: ir.Model) -> None:
    """Runs all patterns over the main graph.

    A fused node stands, by its provenance, for all nodes that it replaces; marked nodes stay and carry the pattern's name.

    Args:
        model: static shapes, constants folded, functions inlined. Changed in place.
    """
    for pattern in PATTERNS:
        pattern(model)
