"""Recognises normalisations, activations and attention in every common spelling: fuses them into the standard operator or marks their nodes."""

from collections.abc import Callable

import onnx_ir as ir

from bridge.graph.patterns import (
    attention,
    batch_norm,
    channel_norm,
    detection_tail,
    ends,
    gelu,
    layer_norm,
    log_softmax,
    masked_softmax,
    positional_embedding,
    rescaling,
    residual_add,
    rms_norm,
    sampled,
    self_gated,
    softmax,
    squeeze_excite,
)

# In this order: a later pattern may look for the marks of an earlier one (residual sums for norms), and what is marked twice keeps the later name.
PATTERNS: tuple[Callable[[ir.Model], None], ...] = (
    channel_norm.recognise,
    layer_norm.recognise,
    rms_norm.recognise,
    batch_norm.recognise,
    gelu.recognise,
    self_gated.recognise,
    sampled.recognise,
    softmax.recognise,
    log_softmax.recognise,
    masked_softmax.recognise,
    residual_add.recognise,
)

# Regions of the graph as it will be converted; a node can lie in several.
PLACES: tuple[Callable[[ir.Model], None], ...] = (
    attention.recognise,
    squeeze_excite.recognise,
    rescaling.recognise,
    positional_embedding.recognise,
    ends.recognise,
    detection_tail.recognise,
)


def recognise(model: ir.Model) -> None:
    """Runs all patterns over the main graph.

    A fused node stands, by its provenance, for all nodes that it replaces; marked nodes stay and carry the pattern's name.

    Args:
        model: static shapes, constants folded, functions inlined. Changed in place.
    """
    for pattern in PATTERNS:
        pattern(model)


def find_places(model: ir.Model) -> None:
    """Runs all of `PLACES`.

    Args:
        model: patterns recognised, everything folded into weights that can be. No node changes but by its marks.
    """
    for region in PLACES:
        region(model)
