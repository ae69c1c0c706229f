"""How long operators take, in units of one multiply-accumulate.

Rates measured on two x86-64 cores with XNNPACK (int8 about 80e9 a second).
"""

import math

from bridge.compare.cost import MACS
from bridge.tflite import model as tflite

WORK_PER_ELEMENT = 20  # writing one activation


def work_of_each(model: tflite.ModelT) -> list[float]:
    """Of each operator of the main graph in one run."""
    main, found = tflite.main_graph(model), list[float]()
    for op in main.operators:
        shapes = tuple(tflite.shape(main.tensors[index]) for index in op.inputs)
        output = tflite.shape(main.tensors[op.outputs[0]])
        macs = MACS.get(tflite.op_name(model, op))
        found.append((macs(shapes, output) if macs else 0) + WORK_PER_ELEMENT * math.prod(output))
    return found
