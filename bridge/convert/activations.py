"""Activations that onnx2tf leaves as operators of their own become part of the operator before them, where TFLite has a field for that.

onnx2tf 2.6.9 fuses them into convolutions and sums, but a FULLY_CONNECTED keeps its RELU behind it. In int8 the value between them needs a scale
that also covers the half that the RELU throws away, and a rounding of its own. The same where a TRANSPOSE stands between a convolution and its RELU6:
1 dB of a MobileNetV2.
"""

from collections import Counter

from bridge.tflite import model as tflite
from bridge.tflite.compaction import compact

# Operators whose kernels apply `fusedActivationFunction` in every precision (tests/conformance runs them with RELU and RELU6).
FUSING_OPS = frozenset({"ADD", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
# The field also has codes for TANH and SIGN_BIT, which those kernels ignore.
FUSED_OPS = frozenset({"RELU", "RELU6", "RELU_N1_TO_1"})

# They hand on every element as it is, so an activation behind them may as well stand before them.
PASSED_OPS = frozenset({"RESHAPE", "TRANSPOSE"})


def fuse_activations(model: tflite.ModelT) -> bool:
    """Fuses in place; whether there was anything to fuse.

    The tensors between the two operators no longer exist afterwards, or hold the values behind the activation. They stay where something else
    reads them or they are model outputs.
    """
    main = tflite.main_graph(model)
    writers = {int(index): op for op in main.operators for index in op.outputs}
    reads = Counter([int(index) for op in main.operators for index in op.inputs] + [int(index) for index in main.outputs])
    fused = set()
    for op in main.operators:
        name = tflite.op_name(model, op)
        if name not in FUSED_OPS:
            continue
        behind, writer = None, writers.get(int(op.inputs[0]))
        tensor = int(op.inputs[0])
        while writer is not None and reads[tensor] == 1 and tflite.op_name(model, writer) in PASSED_OPS:
            behind, tensor = behind or writer, int(writer.inputs[0])
            writer = writers.get(tensor)
        if writer is None or reads[tensor] > 1 or tflite.op_name(model, writer) not in FUSING_OPS:
            continue
        if writer.builtinOptions.fusedActivationFunction == tflite.ACTIVATION_CODES["NONE"]:
            writer.builtinOptions.fusedActivationFunction = tflite.ACTIVATION_CODES[name]
            last = behind or writer
            last.outputs = op.outputs
            writers[int(op.outputs[0])] = last
            fused.add(id(op))
    main.operators = [op for op in main.operators if id(op) not in fused]
    if fused:
        compact(model)
    return bool(fused)
