"""Turns float64, float16 and bfloat16 models into float32 ones."""

import ml_dtypes  # noqa: F401  # registers bfloat16 with NumPy
import numpy as np
import onnx
import onnx_ir as ir

from bridge.graph import provenance
from bridge.types import Diagnostic

_OTHER_FLOATS = (ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.BFLOAT16)
# Integer attributes that hold a dtype (ONNX operators Cast, ConstantOfShape, EyeLike, Random*, *Window, QuantizeLinear, Bernoulli, SequenceEmpty).
_DTYPE_ATTRIBUTES = frozenset({"to", "dtype", "output_datatype"})
_NAMED = 5


def to_float32(model: ir.Model) -> tuple[Diagnostic, ...]:
    """Changes every float tensor, constant, attribute and Cast of another width to float32; the types of all values must be known."""
    touched: dict[str, None] = {}
    for node in model.graph.all_nodes():
        values = [value for value in (*node.inputs, *node.outputs) if value is not None]
        if _convert_attributes(node) | any(value.dtype in _OTHER_FLOATS for value in values):
            touched[provenance.name(node)] = None
    for graph in model.graphs():
        for value in [*graph.inputs, *graph.initializers.values(), *(output for node in graph for output in node.outputs)]:
            if value.const_value is not None and value.const_value.dtype in _OTHER_FLOATS:
                value.const_value = _converted(value.const_value)
            if value.dtype in _OTHER_FLOATS:
                value.dtype = ir.DataType.FLOAT
    return _diagnostic(list(touched))


def narrowed(proto: onnx.ModelProto) -> onnx.ModelProto | None:
    """A float32 copy of a model that works in float64, inputs and outputs included; None where it has no float64.

    onnxruntime has no float64 kernel for many operators, Conv among them.
    """
    model = ir.from_proto(onnx.shape_inference.infer_shapes(proto))
    values = (value for node in model.graph.all_nodes() for value in (*node.inputs, *node.outputs) if value is not None)
    if not any(value.dtype == ir.DataType.DOUBLE for value in values):
        return None
    to_float32(model)
    return ir.to_proto(model)


def _convert_attributes(node: ir.Node) -> bool:
    changed = False
    for name, attribute in list(node.attributes.items()):
        if attribute.is_ref():
            continue
        if attribute.type == ir.AttributeType.TENSOR and attribute.as_tensor().dtype in _OTHER_FLOATS:
            node.attributes[name] = ir.AttrTensor(name, _converted(attribute.as_tensor()))
            changed = True
        elif name in _DTYPE_ATTRIBUTES and attribute.type == ir.AttributeType.INT and attribute.as_int() in _OTHER_FLOATS:
            node.attributes[name] = ir.AttrInt64(name, ir.DataType.FLOAT)
            changed = True
    return changed


def _converted(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    """The values as float32; what float32 cannot hold becomes its largest value (1e300 as "infinity" of a mask), infinities stay."""
    array = tensor.numpy()
    limit = np.finfo(np.float32).max
    narrow = np.where(np.isfinite(array.astype(np.float64)), np.clip(array.astype(np.float64), -limit, limit), array.astype(np.float64)).astype(
        np.float32
    )
    return ir.Tensor(narrow, name=tensor.name)


def _diagnostic(nodes: list[str]) -> tuple[Diagnostic, ...]:
    if not nodes:
        return ()
    more = f" and {len(nodes) - _NAMED} more" if len(nodes) > _NAMED else ""
    return (
        Diagnostic(
            code="float-width",
            severity="info",
            message=f"{len(nodes)} node{'s' * (len(nodes) > 1)} worked in float64, float16 or bfloat16 and {'work' if len(nodes) > 1 else 'works'} in float32 now: {', '.join(nodes[:_NAMED])}{more}.",
            node=nodes[0] if len(nodes) == 1 else None,
        ),
    )
