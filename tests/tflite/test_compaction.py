"""Unused parts leave the file, the rest keeps its order and its meaning."""

import numpy as np
import pytest

from bridge.tflite import model as tflite
from bridge.tflite.builder import BUFFER_ALIGNMENT
from bridge.tflite.compaction import compact
from bridge.tflite.interpreter import Interpreter


def small_model() -> tflite.ModelT:
    """unused, x -> ABS -> y; buffers: empty, unused, metadata; codes: NEG (unused), ABS."""
    model = tflite.new_model("test")
    graph = tflite.main_graph(model)
    tflite.add_tensor(model, graph, "unused", "FLOAT32", (3,), buffer=tflite.add_buffer(model, np.ones(3, np.float32)))
    x, y = (tflite.add_tensor(model, graph, name, "FLOAT32", (2,)) for name in "xy")
    tflite.op_code(model, "NEG", 1)
    graph.operators = [tflite.add_op(model, "ABS", 1, [x], [y])]
    graph.inputs, graph.outputs = np.array([x], np.int32), np.array([y], np.int32)
    tflite.add_metadata(model, "note", b"kept")
    tflite.add_signature(model, "run", {"in": x}, {"out": y})
    return model


def test_unused_tensors_buffers_and_codes_are_dropped() -> None:
    model = small_model()
    compact(model)
    graph = tflite.main_graph(model)
    assert [tflite.text(tensor.name) for tensor in graph.tensors] == ["x", "y"]
    assert [bytes(buffer.data) if buffer.data is not None else b"" for buffer in model.buffers] == [b"", b"kept"]
    assert [tflite.op_name(model, op) for op in graph.operators] == ["ABS"]
    assert len(model.operatorCodes) == 1


def test_references_follow() -> None:
    model = small_model()
    compact(model)
    assert model.metadata[0].buffer == 1
    assert [entry.tensorIndex for entry in (*model.signatureDefs[0].inputs, *model.signatureDefs[0].outputs)] == [0, 1]
    (result,) = Interpreter(tflite.serialize(model)).run({"x": np.array([-1, 2], np.float32)})
    assert result.tolist() == [1, 2]


def test_absent_operands_stay_absent() -> None:
    model = small_model()
    graph = tflite.main_graph(model)
    graph.operators[0].inputs = np.array([1, -1], np.int32)
    compact(model)
    assert graph.operators[0].inputs.tolist() == [0, -1]


def test_compacting_twice_changes_nothing() -> None:
    model = small_model()
    compact(model)
    content = tflite.serialize(model)
    compact(model)
    assert tflite.serialize(model) == content


def test_equal_parameter_vectors_are_stored_once_and_data_are_aligned() -> None:
    model = small_model()
    graph = tflite.main_graph(model)
    before = len(tflite.serialize(model))
    for tensor in graph.tensors:
        tflite.set_type(tensor, "INT8", [0.5] * 1000, [0] * 1000)
    assert len(tflite.serialize(model)) - before < 1000 * (4 + 8) + 500
    content = tflite.serialize(model)
    assert content.find(np.ones(3, np.float32).tobytes()) % BUFFER_ALIGNMENT == 0


def test_options_are_checked_against_the_schema() -> None:
    model = small_model()
    with pytest.raises(ValueError, match="AddOptions has no field 'nonsense'"):
        tflite.set_options(tflite.main_graph(model).operators[0], "AddOptions", nonsense=1)
