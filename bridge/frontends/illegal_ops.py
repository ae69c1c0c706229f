"""Operators that exporters write although ONNX does not have them; each becomes a local function, so the node keeps its name."""

from collections.abc import Mapping
from types import MappingProxyType

import onnx
import onnx.parser

from bridge.types import Diagnostic

DOMAIN = "bridge.repair"  # the graph stage inlines functions of this domain under the name of the call
_FUNCTIONS_SINCE_IR = 8

# Operator -> body. tf2onnx 1.17 writes Erfc for the exact GELU of Keras, Expm1 for its CELU.
_BODIES: Mapping[str, str] = MappingProxyType(
    {
        "Erfc": """
<domain: "bridge.repair", opset_import: ["" : 17]>
Erfc (x) => (y) {
    erf = Erf(x)
    one = Constant<value_float = 1.0>()
    y = Sub(one, erf)
}""",
        "Expm1": """
<domain: "bridge.repair", opset_import: ["" : 17]>
Expm1 (x) => (y) {
    raised = Exp(x)
    one = Constant<value_float = 1.0>()
    y = Sub(raised, one)
}""",
    }
)


_SPLIT_COUNTS_SINCE = 18  # before, the number of outputs was enough


def replace_illegal_ops(model: onnx.ModelProto) -> tuple[Diagnostic, ...]:
    """Changes `model` in place, before anything looks at its operators."""
    return (*_complete_splits(model), *_replace(model))


def _complete_splits(model: onnx.ModelProto) -> tuple[Diagnostic, ...]:
    """onnxruntime-extensions writes Split of opset 18 without sizes and without `num_outputs`; as long as no rank is known, nobody notices."""
    version = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    incomplete = [
        node
        for node in model.graph.node
        if (node.domain, node.op_type) == ("", "Split")
        and version >= _SPLIT_COUNTS_SINCE
        and len([name for name in node.input if name]) < 2
        and not any(attribute.name == "num_outputs" for attribute in node.attribute)
    ]
    for node in incomplete:
        node.attribute.append(onnx.helper.make_attribute("num_outputs", len(node.output)))
    if not incomplete:
        return ()
    message = f"{len(incomplete)} Split nodes have neither sizes nor num_outputs; each is taken to make equal parts."
    return (Diagnostic(code="illegal-operator", severity="info", message=message, node=incomplete[0].name or None),)


def _replace(model: onnx.ModelProto) -> tuple[Diagnostic, ...]:
    found: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        if node.domain in ("", "ai.onnx") and node.op_type in _BODIES:
            found.setdefault(node.op_type, []).append(node)
    if not found:
        return ()
    version = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    for op_type, nodes in found.items():
        function = onnx.parser.parse_function(_BODIES[op_type])
        function.opset_import[0].version = version
        model.functions.append(function)
        for node in nodes:
            node.domain = DOMAIN
    model.opset_import.append(onnx.OperatorSetIdProto(domain=DOMAIN, version=1))
    model.ir_version = max(model.ir_version, _FUNCTIONS_SINCE_IR)
    return tuple(
        Diagnostic(
            code="illegal-operator",
            severity="info",
            message=f"The file uses {op_type}, an operator that ONNX does not have, {len(nodes)} times; it was replaced by its definition.",
            node=nodes[0].name or None,
        )
        for op_type, nodes in found.items()
    )
