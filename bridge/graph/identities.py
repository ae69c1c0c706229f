"""Removes nodes that only pass a value on."""

import json

import onnx_ir as ir
import onnx_ir.passes.common as common

from bridge.graph import provenance


def remove_identities(model: ir.Model) -> None:
    """Removes Identity nodes, also those that folding left in place of Dropout, no-op Cast, Reshape, Expand and Concat.

    The node that computes the value stands for them afterwards. An Identity between a model input and a model output stays.
    """
    for node in model.graph:
        if node.op_type == "Identity" and node.domain == "" and node.inputs[0] is not None:
            source = node.inputs[0].producer()
            if source is not None:
                names = dict.fromkeys([*provenance.origins(source), *provenance.origins(node)])
                source.metadata_props[provenance.ORIGINS] = json.dumps(list(names))
    common.IdentityEliminationPass()(model)


def remove_unused(model: ir.Model) -> None:
    """Removes nodes and constants that no model output depends on."""
    common.RemoveUnusedNodesPass()(model)
