from pathlib import Path

import numpy as np
import pytest

from bridge import outside
from bridge.errors import InputError, ToolError
from bridge.tflite import model as tflite
from bridge.tflite import writing
from bridge.tflite.interpreter import Interpreter, Kernels

X = np.array([[1.0, -2.0, 3.0]], np.float32)


def square_then_negate() -> tflite.ModelT:
    """`y = -(x * x)` for x [1, 3] float32."""
    model = tflite.new_model("test")
    graph = tflite.main_graph(model)
    x, squared, y = (tflite.add_tensor(model, graph, name, "FLOAT32", (1, 3)) for name in ("x", "squared", "y"))
    graph.operators = [tflite.add_op(model, "MUL", 1, (x, x), (squared,)), tflite.add_op(model, "NEG", 1, (squared,), (y,))]
    graph.inputs, graph.outputs = np.array([x], np.int32), np.array([y], np.int32)
    return model


@pytest.mark.parametrize("kernels", ["optimized", "builtin", "reference"])
def test_every_kernel_set_computes_the_formula(kernels: Kernels) -> None:
    (y,) = Interpreter(tflite.serialize(square_then_negate()), kernels=kernels).run({"x": X})
    np.testing.assert_array_equal(y, -(X * X))


def test_exposed_tensors_come_in_the_order_asked_for() -> None:
    model = square_then_negate()
    y, squared = Interpreter(tflite.expose(model, [2, 1])).run({"x": X})
    np.testing.assert_array_equal(squared, X * X)
    np.testing.assert_array_equal(y, -(X * X))
    assert list(tflite.main_graph(model).outputs) == [2]


@pytest.mark.provokes("tflite-fails")
def test_a_view_that_is_kept_stops_the_next_run_with_a_reason() -> None:
    interpreter = Interpreter(tflite.serialize(square_then_negate()))
    kept = interpreter.run_views({"x": X})
    with pytest.raises(ToolError, match="reference to internal data"):
        interpreter.run_views({"x": X})
    del kept
    interpreter.run_views({"x": X})


def test_a_wrong_shape_is_a_tool_error() -> None:
    with pytest.raises(ToolError, match="cannot run it"):
        Interpreter(tflite.serialize(square_then_negate())).run({"x": X[:, :2]})


def test_writing_and_reading_gives_the_same_bytes(tmp_path: Path) -> None:
    content = tflite.serialize(square_then_negate())
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    assert tflite.serialize(tflite.read(path)) == content


def test_a_text_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_text("not a model at all")
    with pytest.raises(InputError, match="not a TFLite file"):
        tflite.read(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        tflite.read(tmp_path / "none.tflite")


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(tflite.serialize(square_then_negate())[:80])
    with pytest.raises(InputError, match="damaged"):
        tflite.read(path)


def test_a_file_that_is_not_kept_runs_like_its_bytes() -> None:
    model = square_then_negate()
    large = np.arange(2048, dtype=np.float32)
    tflite.add_tensor(model, tflite.main_graph(model), "large", "FLOAT32", large.shape, buffer=tflite.add_buffer(model, large))
    file, inside = tflite.run_file(model), tflite.serialize(model)
    np.testing.assert_array_equal(Interpreter(file).run({"x": X})[0], Interpreter(inside).run({"x": X})[0])
    read = tflite.parse(file.mapped(), where="file")
    np.testing.assert_array_equal(tflite.constant(read, tflite.main_graph(read).tensors[-1]), large)
    assert tflite.serialize(model) == inside  # it was left as it is


def test_room_for_the_flatbuffer_of_a_file_that_is_not_kept_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_size", lambda model: 64)
    (y,) = Interpreter(tflite.run_file(square_then_negate())).run({"x": X})
    np.testing.assert_array_equal(y, Interpreter(tflite.serialize(square_then_negate())).run({"x": X})[0])


def test_letting_go_of_a_model_counts_as_the_work_of_the_runtime() -> None:
    opened = Interpreter(tflite.serialize(square_then_negate()))
    before = outside.OPENING.seconds
    del opened
    assert outside.OPENING.seconds > before
