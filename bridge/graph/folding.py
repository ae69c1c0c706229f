"""Computes before the model runs what does not depend on its inputs, and infers every shape on the way."""

import math

import onnx_ir as ir
import onnx_ir.passes.common as common
from onnxscript.optimizer import fold_constants_ir

# A folded tensor replaces its inputs in the file; more growth than this is not worth it.
_MAX_GROWTH_BYTES = 1 << 20
_NO_LIMIT = 1 << 62  # `_should_fold` decides
# Kept as they are: they carry the ranges of a quantized model.
_QUANTIZATION_OPS = frozenset({"DequantizeLinear", "DynamicQuantizeLinear", "QuantizeLinear"})


def fold_constants(model: ir.Model) -> None:
    """Folds constants, shape arithmetic, Identity, Dropout, and branches whose condition is known; infers shapes.

    Shapes of all activations are static afterwards unless they depend on data.
    """
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    fold_constants_ir(model, onnx_shape_inference=True, output_size_limit=_NO_LIMIT, should_fold=_should_fold)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    for node in model.graph:
        if node.op_type == "Constant" and node.domain == "":  # a model output that is constant; onnx2tf reads only this spelling
            tensor = ir.convenience.get_const_tensor(node.outputs[0])
            if tensor is not None:
                node.attributes.clear()
                node.attributes["value"] = ir.AttrTensor("value", tensor)


def _should_fold(node: ir.Node) -> bool:
    if node.op_type in _QUANTIZATION_OPS:
        return False
    read = sum(value.const_value.nbytes for value in node.inputs if value is not None and value.const_value is not None)
    written = sum(_bytes(output) for output in node.outputs)
    return written <= max(read, _MAX_GROWTH_BYTES)


def _bytes(value: ir.Value) -> float:
    if value.shape is None or not value.shape.is_static() or value.dtype is None:
        return 0  # the result of a small computation on shapes; a large one has a known shape
    return math.prod(value.shape.numpy()) * value.dtype.itemsize
