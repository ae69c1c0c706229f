"""How strongly the first layer with weights answers to an input: evidence for the scale of the data that the model was trained on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bridge.tflite import model as tflite
from bridge.tflite.feeds import feed
from bridge.tflite.interpreter import Interpreter
from bridge.tflite.parallel import Sample
from bridge.types import InputBinding

WEIGHTED_OPS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
AFFINE_OPS = frozenset({"ADD", "MUL", "SUB"})  # behind it, with a constant: a BatchNorm that stayed by itself


def responses(path: Path, bindings: Sequence[InputBinding], samples: Sequence[Sample]) -> np.ndarray | None:
    """[values, channels] of the first layer that has weights, before its activation; None where the model has none.

    Args:
        path: the float TFLite file.
        bindings: how samples are fed to it.
        samples: a few.
    """
    model = tflite.read(path)
    graph = tflite.main_graph(model)
    weighted = (place for place, op in enumerate(graph.operators) if tflite.op_name(model, op) in WEIGHTED_OPS and _constant(model, op, 1))
    last = next(weighted, None)
    if last is None:
        return None
    while True:
        op = graph.operators[last]
        tflite.change_options(op, tflite.op_name(model, op), {"fusedActivationFunction": 0})
        output = int(op.outputs[0])
        readers = [place for place, other in enumerate(graph.operators) if output in other.inputs]
        if len(readers) != 1 or tflite.op_name(model, graph.operators[readers[0]]) not in AFFINE_OPS:
            break
        if not any(_constant(model, graph.operators[readers[0]], position) for position in (0, 1)):
            break
        last = readers[0]
    graph.operators = graph.operators[: last + 1]
    runner = Interpreter(tflite.expose(model, [output]))
    found = [runner.run(feed(bindings, sample))[0] for sample in samples]
    return np.concatenate([value.reshape(-1, value.shape[-1]) for value in found])


def _constant(model: tflite.ModelT, op: tflite.OperatorT, position: int) -> bool:
    graph = tflite.main_graph(model)
    return position < len(op.inputs) and tflite.is_constant(model, graph.tensors[int(op.inputs[position])])
