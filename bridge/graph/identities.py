"""Removes nodes that only pass a value on."""

import json

import onnx_ir as ir
import onnx_ir.passes.common as common

from bridge.graph import provenance
from bridge.graph.values import GRAPHS


def remove_identities(model: ir.Model) -> None:
    """Removes Identity nodes, also those that folding left in place of Dropout, no-op Cast, Reshape, Expand and Concat.

    The node that computes the value stands for them afterwards. An Identity stays where it gives a model output a name of its own: behind a
    model input, a constant, or another model output.
    """
    for node in list(model.graph):
        if node.op_type == "Identity" and node.domain == "":
            remove_copy(model.graph, node)


def remove_copy(graph: ir.Graph, node: ir.Node) -> None:
    """Removes a node whose output equals its first input, if the output needs no name of its own."""
    value, copy = node.inputs[0], node.outputs[0]
    if value is None:
        return
    source = value.producer()
    if copy.is_graph_output():
        if source is None or value.is_graph_output() or value.const_value is not None:
            return
        name, copy.name = copy.name, None
        value.name = name
    if source is not None:
        stand_for(source, node)
    if value.shape is None:
        value.shape = copy.shape
    ir.convenience.replace_all_uses_with(copy, value, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def stand_for(node: ir.Node, gone: ir.Node) -> None:
    """Lets `node`, which keeps its own name, also stand for a node that is about to go."""
    names = dict.fromkeys([*provenance.origins(node), *provenance.origins(gone)])
    node.metadata_props[provenance.ORIGINS] = json.dumps(list(names))


def remove_unused(model: ir.Model) -> None:
    """Removes nodes and constants that no model output depends on."""
    if not _is_all_used(model.graph):
        common.RemoveUnusedNodesPass()(model)


def _is_all_used(graph: ir.Graph) -> bool:
    """Whether the pass would find nothing: it looks up the definition of every operator, which takes five times as long.

    It also shortens lists of inputs and outputs, looks into subgraphs, and drops an attribute of BatchNormalization.
    """
    for node in graph:
        if node.op_type == "BatchNormalization" or (node.inputs and node.inputs[-1] is None):
            return False
        if not node.outputs or any(map(_is_unused, node.outputs)) or any(attribute.type in GRAPHS for attribute in node.attributes.data.values()):
            return False
    return not any(_is_unused(value) for value in graph.initializers.values() if not value.is_graph_input())


def _is_unused(value: ir.Value) -> bool:
    return not value.uses() and not value.is_graph_output()
