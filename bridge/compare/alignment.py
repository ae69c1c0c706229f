"""Which operators of a float file and of a file quantized from it are the same, whoever quantized it."""

from bridge.compare.attribution import Counterparts
from bridge.tflite import model as tflite

BORDERS = frozenset({"QUANTIZE", "DEQUANTIZE"})  # what a quantizer puts between operators, and takes away where weights were float16


def aligned(float_model: tflite.ModelT, quantized_model: tflite.ModelT) -> Counterparts | None:
    """Pairs the operators in their order; None where the files do not run the same operators on the same shapes.

    Quantizers keep the order of operators and put QUANTIZE and DEQUANTIZE between them. Names of tensors play no part.
    """
    before, after = tflite.main_graph(float_model), tflite.main_graph(quantized_model)
    tensors = {int(index): int(other) for index, other in zip(before.inputs, after.inputs, strict=False)}
    if len(before.inputs) != len(after.inputs) or len(before.outputs) != len(after.outputs):
        return None
    ops: dict[int, int] = {}
    index = position = 0
    while index < len(before.operators) and position < len(after.operators):
        one, other = before.operators[index], after.operators[position]
        name, other_name = tflite.op_name(float_model, one), tflite.op_name(quantized_model, other)
        if name == other_name and _shapes(before, one) == _shapes(after, other):
            ops[position] = index
            tensors |= {int(a): int(b) for a, b in zip(one.outputs, other.outputs, strict=True) if a >= 0 and b >= 0}
            index, position = index + 1, position + 1
        elif other_name in BORDERS:
            position += 1
        elif name in BORDERS:
            index += 1
        else:
            return None
    rest = [tflite.op_name(float_model, op) for op in before.operators[index:]] + [
        tflite.op_name(quantized_model, op) for op in after.operators[position:]
    ]
    return Counterparts(tensors, ops) if BORDERS.issuperset(rest) else None


def _shapes(graph: tflite.SubGraphT, op: tflite.OperatorT) -> list[tuple[int, ...]]:
    return [tflite.shape(graph.tensors[index]) for index in op.outputs if index >= 0]
