from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bridge.errors import InputError
from bridge.tflite import model as tflite
from bridge.tflite.validity import check


def addition() -> tflite.ModelT:
    """`y = x + c` in int8."""
    model = tflite.new_model("addition")
    graph = tflite.main_graph(model)
    x, y = (tflite.add_tensor(model, graph, name, "INT8", (2, 3)) for name in ("x", "y"))
    c = tflite.add_tensor(model, graph, "c", "INT8", (2, 3), buffer=tflite.add_buffer(model, np.ones((2, 3), np.int8)))
    for index in (x, y, c):
        tflite.set_type(graph.tensors[index], "INT8", [0.5], [3])
    graph.operators = [tflite.add_op(model, "ADD", 2, (x, c), (y,))]
    graph.inputs, graph.outputs = np.array([x], np.int32), np.array([y], np.int32)
    return model


def test_a_sound_file_passes(tmp_path: Path) -> None:
    content = tflite.serialize(addition())
    check(tflite.parse(content, where="m.tflite"), where="m.tflite")


def _tensor(index: int) -> Callable[[tflite.ModelT], tflite.TensorT]:
    return lambda model: tflite.main_graph(model).tensors[index]


@pytest.mark.parametrize(
    ("target", "field", "value", "message"),
    [
        (lambda model: model, "subgraphs", [], "it has no graph"),
        (tflite.main_graph, "inputs", np.array([9], np.int32), "an input or output of the graph does not exist"),
        (tflite.main_graph, "outputs", np.array([-1], np.int32), "an input or output of the graph does not exist"),
        (lambda model: tflite.main_graph(model).operators[0], "opcodeIndex", 7, "operator 0 has no code"),
        (lambda model: tflite.main_graph(model).operators[0], "inputs", np.array([0, 3], np.int32), "operator 0 reads or writes a tensor that"),
        (_tensor(0), "type", 99, "tensor 'x' has the unknown type 99"),
        (_tensor(0), "buffer", 5, "tensor 'x' has no buffer"),
        (_tensor(0), "shape", np.array([2, -3], np.int32), r"tensor 'x' has the shape \[2, -3\]"),
        (_tensor(0), "shape", np.full(4, 1 << 20, np.int32), "tensor 'x' has the shape"),
        (_tensor(2), "shape", np.array([2, 4], np.int32), r"constant 'c' holds 6 bytes, its shape \[2, 4\] takes 8"),
        (
            lambda model: _tensor(0)(model).quantization,
            "scale",
            np.array([np.nan], np.float32),
            "a scale that is negative, no number or next to zero",
        ),
        (lambda model: _tensor(0)(model).quantization, "zeroPoint", np.array([400]), r"a zero point outside its type: \[400\]"),
        (lambda model: _tensor(0)(model).quantization, "zeroPoint", np.array([1, 2, 3]), "1 scales and 3 zero points"),
        (lambda model: _tensor(0)(model).quantization, "zeroPoint", np.array([], np.int64), "1 scales and 0 zero points"),
        (lambda model: _tensor(0)(model).quantization, "zeroPoint", None, "1 scales and 0 zero points"),
        (lambda model: _tensor(0)(model).quantization, "scale", np.ones(3, np.float32), r"3 scales along axis 0 of \[2, 3\]"),
    ],
)
def test_the_first_fault_is_named(target: Callable[[tflite.ModelT], object], field: str, value: object, message: str) -> None:
    model = addition()
    setattr(target(model), field, value)
    with pytest.raises(InputError, match=f"m.tflite: the TFLite file is damaged: .*{message}"):
        check(model, where="m.tflite")


def test_data_behind_the_end_of_the_file_are_damage() -> None:
    model = addition()
    model.buffers[1].data, model.buffers[1].offset, model.buffers[1].size = None, 1 << 40, 6
    with pytest.raises(InputError, match="the TFLite flatbuffer is damaged"):
        tflite.parse(tflite.serialize(model), where="m.tflite")
