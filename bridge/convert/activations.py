"""Activations that onnx2tf leaves as operators of their own become part of the operator before them, where TFLite has a field for that.

onnx2tf 2.6.9 fuses them into convolutions and sums, but a FULLY_CONNECTED keeps its RELU behind it. In int8 the value between them needs a scale
that also covers the half that the RELU throws away, and a rounding of its own.
"""

from collections import Counter

from bridge.tflite import model as tflite
from bridge.tflite.compaction import compact

# Operators whose kernels apply `fusedActivationFunction` in every precision (tests/conformance runs them with RELU and RELU6).
FUSING_OPS = frozenset({"ADD", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})


def fuse_activations(model: tflite.ModelT) -> bool:
    """Fuses in place; whether there was anything to fuse.

    The tensor between the two operators no longer exists afterwards. It is kept where something else reads it or it is a model output.
    """
    main = tflite.main_graph(model)
    writers = {int(index): op for op in main.operators for index in op.outputs}
    reads = Counter([int(index) for op in main.operators for index in op.inputs] + [int(index) for index in main.outputs])
    fused = []
    for op in main.operators:
        code = tflite.ACTIVATION_CODES.get(tflite.op_name(model, op))
        writer = writers.get(int(op.inputs[0])) if code is not None else None
        if writer is None or reads[int(op.inputs[0])] > 1 or tflite.op_name(model, writer) not in FUSING_OPS:
            continue
        if writer.builtinOptions.fusedActivationFunction == tflite.ACTIVATION_CODES["NONE"]:
            writer.builtinOptions.fusedActivationFunction = code
            writer.outputs = op.outputs
            fused.append(id(op))
    main.operators = [op for op in main.operators if id(op) not in fused]
    if fused:
        compact(model)
    return bool(fused)
