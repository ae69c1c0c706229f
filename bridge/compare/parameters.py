"""Whether the constants of a quantized file are those of the float file it was made from, up to the rounding of their own scales."""

from collections.abc import Sequence

import numpy as np

from bridge.compare.attribution import Counterparts
from bridge.tflite import model as tflite
from bridge.types import Diagnostic

WEIGHT_STEPS = 1.05  # rounding leaves half a step; methods that choose the neighbour leave up to one
BIAS_STEPS = 16.0  # of the output: a bias that corrects the mean error moves by a few of them
INTEGERS = frozenset({"int8", "int16", "uint8", "int32", "int64"})
HINT = "The quantized file does not hold the float file's parameters: write it again, or look at what changed it."


def check_parameters(
    float_model: tflite.ModelT, quantized_model: tflite.ModelT, pairs: Counterparts, owners: Sequence[str]
) -> tuple[Diagnostic, ...]:
    """A finding for every node with a constant that is not the float file's.

    A weight may be smaller than in the float file where its integer is the largest of the type: then its range was clipped.

    Args:
        float_model: the float file.
        quantized_model: the file made from it.
        pairs: what is the same in both.
        owners: node of every float operator.
    """
    before, after = tflite.main_graph(float_model), tflite.main_graph(quantized_model)
    found: dict[str, str] = {}
    for position, index in pairs.ops.items():
        op, other = before.operators[index], after.operators[position]
        output = after.tensors[int(other.outputs[0])]
        for one, two in zip(op.inputs, other.inputs, strict=False):
            if one < 0 or two < 0:
                continue
            difference = _difference(float_model, before.tensors[int(one)], quantized_model, after.tensors[int(two)], output)
            if difference and owners[index] not in found:
                found[owners[index]] = f"{tflite.text(before.tensors[int(one)].name)!r} {difference}"
    return tuple(
        Diagnostic("parameters-differ", "error", f"A constant of {node!r} is not that of the float file: {difference}.", HINT, node)
        for node, difference in found.items()
    )


def _difference(
    float_model: tflite.ModelT, real: tflite.TensorT, quantized_model: tflite.ModelT, stored: tflite.TensorT, output: tflite.TensorT
) -> str:
    """What is wrong with a stored constant; empty if nothing is."""
    if not (tflite.is_constant(float_model, real) and tflite.is_constant(quantized_model, stored)):
        return ""
    expected = tflite.constant(float_model, real)
    if (
        tflite.dtype(stored).name not in INTEGERS
        or stored.quantization is None
        or stored.quantization.scale is None
        or not len(stored.quantization.scale)
    ):
        return ""
    if expected.dtype.kind != "f" or expected.shape != tflite.shape(stored):
        return f"has shape {list(expected.shape)} there and {list(tflite.shape(stored))} here" if expected.dtype.kind == "f" else ""
    scales = np.asarray(stored.quantization.scale, np.float64)
    axis = int(stored.quantization.quantizedDimension)
    if len(scales) > 1 and (axis >= expected.ndim or expected.shape[axis] != len(scales)):
        return f"has {len(scales)} scales along axis {axis} of {list(expected.shape)}"
    along = [1] * expected.ndim
    if len(scales) > 1:
        along[axis] = -1
    scale, zero_point = scales.reshape(along), np.asarray(stored.quantization.zeroPoint, np.float64).reshape(along)
    integers = tflite.integers(quantized_model, stored)
    error = (integers - zero_point) * scale - expected
    is_bias = integers.dtype.name in ("int32", "int64")
    steps = np.abs(error) / (_step(output, scale) if is_bias else scale)
    if not is_bias:
        limits = np.iinfo(integers.dtype) if tflite.TYPE_NAMES[stored.type] != "INT4" else np.iinfo("int8")
        clipped = (np.abs(integers) >= (7 if tflite.TYPE_NAMES[stored.type] == "INT4" else limits.max)) & (np.abs(error) < np.abs(expected))
        steps = np.where(clipped, 0.0, steps)
    worst = float(steps.max(initial=0.0))
    limit = BIAS_STEPS if is_bias else WEIGHT_STEPS
    return f"differs by up to {worst:.1f} steps {'of the output' if is_bias else 'of its scale'}" if worst > limit else ""


def _step(output: tflite.TensorT, scale: np.ndarray) -> np.ndarray | float:
    """Of the output that a bias is added to; its own where the output is float."""
    quantization = output.quantization
    if quantization is None or quantization.scale is None or len(quantization.scale) != 1:
        return scale
    return float(quantization.scale[0])
