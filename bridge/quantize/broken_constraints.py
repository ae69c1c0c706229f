"""Finds operators of a quantized file whose scales the kernels do not take as they are: the file loads, runs, and is wrong."""

from collections.abc import Iterator, Sequence

import numpy as np

from bridge.quantize.op_table import OPS, Kernel, OpRow, Role, Scales
from bridge.tflite import model as tflite

PRECISION_OF = {"int8": "static_wi8_ai8", "int16": "static_wi8_ai16"}
SAME = 1e-3  # relative difference of scales that no integer of the type can tell


def broken_constraints(model: tflite.ModelT) -> Iterator[tuple[int, str]]:
    """Positions of operators in the main graph, and what is wrong with each; operators and types without a row are passed over.

    Source: the op table, which docs/kernels.md measures.
    """
    main = tflite.main_graph(model)
    for position, op in enumerate(main.operators):
        row = OPS.get(tflite.op_name(model, op))
        outputs = [main.tensors[index] for index in op.outputs if index >= 0]
        precision = PRECISION_OF.get(tflite.dtype(outputs[0]).name, "") if outputs else ""
        if row is None or precision not in row.kernels:
            continue
        inputs = [None if index < 0 else main.tensors[index] for index in op.inputs]
        message = next(_problems(row, row.kernels[precision], inputs, outputs[0]), None)
        if message is not None:
            yield position, f"{row.name}: {message}"


def _problems(row: OpRow, kernel: Kernel, inputs: Sequence[tflite.TensorT | None], output: tflite.TensorT) -> Iterator[str]:
    data = [(place, tensor) for place, tensor in enumerate(inputs) if tensor is not None and row.input_role(place) is Role.DATA]
    out = _form(output)
    if out is None:
        yield "its output is integer without a scale"
        return
    if kernel.fixed_output is not None and not _same(out, (kernel.fixed_output.scales[0], kernel.fixed_output.zero_points[0])):
        yield f"its output must have scale {kernel.fixed_output.scales[0]:g} and zero point {kernel.fixed_output.zero_points[0]}, it has {_text(out)}"
    if row.scales is not Scales.OWN:
        for place, tensor in data:
            form = _form(tensor)
            if form is not None and tflite.dtype(tensor) == tflite.dtype(output) and not _same(form, out):
                yield f"input {place} and output must have one scale, they have {_text(form)} and {_text(out)}"
    for place in kernel.symmetric:
        form = None if inputs[place] is None else _form(inputs[place])
        if form is not None and form[1] != 0:
            yield f"the optimised kernel wants zero point 0 for input {place}, it is {form[1]}"
    for place, tensor in enumerate(inputs):
        if tensor is not None and row.input_role(place) is Role.WEIGHT and tensor.quantization is not None and tensor.quantization.scale is not None:
            yield from _weight_problems(row, tensor)


def _weight_problems(row: OpRow, weight: tflite.TensorT) -> Iterator[str]:
    quantization, shape = weight.quantization, tflite.shape(weight)
    if np.any(np.asarray(quantization.zeroPoint)):
        yield "its weight must have zero point 0"
    if len(quantization.scale) > 1 and quantization.quantizedDimension != row.weight_axis % len(shape):
        yield f"its weight must have its scales along axis {row.weight_axis % len(shape)}, it has them along axis {quantization.quantizedDimension}"


def _form(tensor: tflite.TensorT) -> tuple[float, int] | None:
    quantization = tensor.quantization
    if quantization is None or quantization.scale is None or len(quantization.scale) != 1 or tflite.dtype(tensor).kind not in "iu":
        return None
    return float(quantization.scale[0]), int(quantization.zeroPoint[0])


def _same(one: tuple[float, int], other: tuple[float, int]) -> bool:
    return one[1] == other[1] and abs(one[0] - other[0]) <= SAME * max(one[0], other[0])


def _text(form: tuple[float, int]) -> str:
    return f"{form[0]:.6g} / {form[1]}"
