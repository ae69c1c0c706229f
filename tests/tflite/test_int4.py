"""Two int4 values per byte, read back by the runtime."""

from pathlib import Path

import numpy as np
import pytest

from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter, Kernels

KERNELS: tuple[Kernels, ...] = ("optimized", "builtin", "reference")


def test_the_first_value_is_the_low_half_of_the_byte() -> None:
    assert tflite.packed_int4(np.array([1, -1, 7, -8, 3], np.int8)).tolist() == [0xF1, 0x87, 0x03]


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 3, 1), (1, 2)], ids=str)
def test_the_runtime_unpacks_what_was_packed(shape: tuple[int, ...], kernels: Kernels, tmp_path: Path) -> None:
    """Through the one kernel that reads int4, DEQUANTIZE, with a scale per channel of the first axis."""
    values = np.random.default_rng(3).integers(-8, 8, shape).astype(np.int8)
    scales = [float(channel + 1) for channel in range(shape[0])]
    model = tflite.new_model("int4")
    graph = tflite.main_graph(model)
    stored = tflite.add_tensor(model, graph, "stored", "INT4", shape, buffer=tflite.add_buffer(model, tflite.packed_int4(values)))
    tflite.set_type(graph.tensors[stored], "INT4", scales, [0] * len(scales))
    x, unpacked, y = (tflite.add_tensor(model, graph, name, "FLOAT32", shape) for name in ("x", "unpacked", "y"))
    add = tflite.add_op(model, "ADD", 1, [x, unpacked], [y])
    tflite.set_options(add, "AddOptions")
    graph.operators = [tflite.add_op(model, "DEQUANTIZE", 6, [stored], [unpacked]), add]
    graph.inputs, graph.outputs = np.array([x], np.int32), np.array([y], np.int32)
    (got,) = Interpreter(tflite.serialize(model), kernels=kernels).run({"x": np.zeros(shape, np.float32)})
    assert np.array_equal(got, values * np.reshape(scales, [-1] + [1] * (len(shape) - 1)))
