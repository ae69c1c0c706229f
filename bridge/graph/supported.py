"""Refuses models that cannot become TFLite, with every cause at once."""

import math
from collections.abc import Iterator

import onnx
import onnx_ir as ir

from bridge.errors import UnsupportedModelError
from bridge.graph import provenance
from bridge.graph.values import static_shape

_STANDARD = ("", "ai.onnx")
_NAMED_PER_CAUSE = 5
_CUT = "Cut these nodes off (--from TENSOR and --to TENSOR take the part between tensors) or replace them by standard operators."
_REGISTER = (
    "Two ways out: bridge.register_op says what a custom operator means, as standard operators or as a TFLite CUSTOM operator (docs/custom-ops.md, "
    "--custom-ops MODULE); or cut the nodes off: --from TENSOR and --to TENSOR take the part between tensors."
)
_MAX_BYTES = (1 << 31) - 1  # a flatbuffer counts with 32 bits, and so do the kernels


def check_supported(model: ir.Model) -> None:
    """Checks a model whose constants are folded and whose functions are inlined.

    Raises:
        UnsupportedModelError: operators outside the standard, control flow, values that are no tensors or whose shape depends on data.
    """
    causes: dict[str, list[str]] = {}
    for node in model.graph:
        for cause in _causes(node, model.opset_imports.get("", 1)):
            causes.setdefault(cause, []).append(provenance.name(node) or str(node.name))
    if causes:
        raise UnsupportedModelError(
            f"The model cannot become TFLite: {'; '.join(f'{cause} at {_listed(nodes)}' for cause, nodes in causes.items())}.",
            hint=_REGISTER if any(node.domain not in _STANDARD for node in model.graph) else _CUT,
        )


def _causes(node: ir.Node, opset: int) -> Iterator[str]:
    """Reasons in words; a node whose operator is unknown has no further ones."""
    if node.domain not in _STANDARD:
        reason = provenance.refused(node)
        yield f"operator {node.op_type} of domain {node.domain}{f' ({reason})' if reason else ''}"
    elif not onnx.defs.has(node.op_type, opset, ""):
        yield f"operator {node.op_type}, which ONNX opset {opset} does not have,"
    elif any(attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for attribute in node.attributes.values()):
        yield f"control flow ({node.op_type})"
    elif any(output.type is not None and not isinstance(output.type, ir.TensorType) for output in node.outputs):
        yield f"sequence or optional values ({node.op_type})"
    elif any(output.dtype == ir.DataType.STRING for output in node.outputs):
        yield f"strings ({node.op_type})"
    elif any(_bytes(output) > _MAX_BYTES for output in node.outputs):
        yield f"a tensor of more than 2 GB ({node.op_type})"
    elif _first_unknown(node):
        yield f"a shape that is not known before the model runs ({node.op_type})"


def _first_unknown(node: ir.Node) -> bool:
    """Whether the node has outputs of unknown shape while all its inputs are known; what comes behind is only a consequence."""
    known = all(value.shape is not None and value.shape.is_static() for value in node.inputs if value is not None)
    return known and any(output.shape is None or not output.shape.is_static() for output in node.outputs if output.name)


def _bytes(value: ir.Value) -> int:
    shape = static_shape(value)
    return 0 if shape is None or value.dtype is None or value.dtype == ir.DataType.STRING else int(math.prod(shape) * value.dtype.itemsize)


def _listed(nodes: list[str]) -> str:
    more = f" and {len(nodes) - _NAMED_PER_CAUSE} more" if len(nodes) > _NAMED_PER_CAUSE else ""
    return ", ".join(map(repr, nodes[:_NAMED_PER_CAUSE])) + more
