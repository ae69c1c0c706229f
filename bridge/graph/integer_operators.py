"""Models whose operators work on integers themselves (onnxruntime's QOperator format): the same with Q/DQ around float operators.

Source: ONNX operators QLinearConv-10 and QLinearMatMul-10, the QLinear operators of onnxruntime docs/ContribOperators.md.
"""

from collections.abc import Mapping
from types import MappingProxyType

import onnx_ir as ir

from bridge.graph import provenance
from bridge.graph.contrib import DOMAIN as CONTRIB
from bridge.graph.contrib import EXPANSIONS, quantized
from bridge.graph.contrib.expansion import Expansion
from bridge.graph.folding import fold_constants
from bridge.graph.lowering.replacement import Builder, Replacement

BORDERS = frozenset({"DequantizeLinear", "QuantizeLinear"})
STANDARD: Mapping[str, Expansion] = MappingProxyType({"QLinearConv": quantized.conv, "QLinearMatMul": quantized.matmul})
OWN: Mapping[str, Expansion] = MappingProxyType({name: found for name, found in EXPANSIONS.items() if name.startswith("QLinear") or name == "QGemm"})


def expansion_of(domain: str, op_type: str) -> Expansion | None:
    """How an operator on integers is spelled out, None for any other operator."""
    return (OWN if domain == CONTRIB else STANDARD if domain in ("", "ai.onnx") else {}).get(op_type)


def spell_out(model: ir.Model) -> bool:
    """Replaces the operators on integers and says whether there were any; the float operator between the borders keeps the node's name."""
    graph, found = model.graph, False
    for node in list(graph):
        expansion = expansion_of(node.domain, node.op_type)
        made = None if expansion is None else expansion(Builder(graph, str(node.name)), node)
        if isinstance(made, Replacement):
            _put(graph, node, made)
            found = True
    if found:
        fold_constants(model)  # biases are products of scales and integers
    return found


def _put(graph: ir.Graph, node: ir.Node, made: Replacement) -> None:
    main = next(new for new in reversed(made.nodes) if new.op_type not in BORDERS)
    for position, new in enumerate(made.nodes):
        new.name = node.name if new is main else f"{node.name}.{new.op_type}_{position}"
        provenance.stamp(new, str(new.name))
    pairs = [(old, new) for old, new in zip(node.outputs, made.outputs, strict=True) if new is not None and old.name]
    ir.convenience.replace_nodes_and_values(graph, node, [node], list(made.nodes), [old for old, _ in pairs], [new for _, new in pairs])
