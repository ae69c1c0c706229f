"""Lifts a model to the opset in which the operators that normalising writes are legal."""

import onnx
import onnx_ir as ir

from bridge.graph.partial_imports import CONVERTER, import_version_converter
from bridge.graph.quiet import quiet
from bridge.types import Diagnostic

MINIMUM_OPSET = 20  # LayerNormalization came with 17, Gelu with 20


def lift_opset(model: ir.Model) -> tuple[Diagnostic, ...]:
    """Converts to `MINIMUM_OPSET`; a newer model stays as it is, and so does one that cannot be lifted."""
    version = model.opset_imports.get("", model.opset_imports.get("ai.onnx", MINIMUM_OPSET))
    if version >= MINIMUM_OPSET:
        return ()
    if all(_is_same(node, version) for node in model.graph.all_nodes()):
        model.opset_imports[""] = MINIMUM_OPSET
        return ()
    with quiet(CONVERTER):
        import_version_converter()(MINIMUM_OPSET, fallback=True)(model)
    if model.opset_imports.get("", 0) >= MINIMUM_OPSET:
        return ()
    return (
        Diagnostic(
            code="opset-kept",
            severity="warning",
            message=f"The model stays at opset {version}: the version converter cannot lift it to {MINIMUM_OPSET}.",
            hint="Export it with a newer opset.",
        ),
    )


def _is_same(node: ir.Node, version: int) -> bool:
    """Whether an operator means the same in both opsets, word by word; its subgraphs are nodes of their own."""
    if node.domain != "" or not onnx.defs.has(node.op_type, MINIMUM_OPSET):
        return False
    return bool(onnx.defs.get_schema(node.op_type, MINIMUM_OPSET).since_version <= version)
