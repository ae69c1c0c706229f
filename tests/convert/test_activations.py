import numpy as np
import pytest

from bridge.convert.activations import fuse_activations
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter

WEIGHT = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
X = np.random.default_rng(1).standard_normal((2, 3)).astype(np.float32) * 3


def dense(*tail: str, outputs: tuple[int, ...] = (-1,)) -> tflite.ModelT:
    """x -> FULLY_CONNECTED -> the operators of `tail` in a chain; `outputs` are positions in the chain."""
    model = tflite.new_model("test")
    graph = tflite.main_graph(model)
    x = tflite.add_tensor(model, graph, "x", "FLOAT32", (2, 3))
    weight = tflite.add_tensor(model, graph, "w", "FLOAT32", (4, 3), buffer=tflite.add_buffer(model, WEIGHT))
    chain = [tflite.add_tensor(model, graph, "y0", "FLOAT32", (2, 4))]
    op = tflite.add_op(model, "FULLY_CONNECTED", 1, (x, weight, -1), (chain[0],))
    tflite.set_options(op, "FullyConnectedOptions")
    graph.operators.append(op)
    for position, name in enumerate(tail, start=1):
        chain.append(tflite.add_tensor(model, graph, f"y{position}", "FLOAT32", (2, 4)))
        graph.operators.append(tflite.add_op(model, name, 1, (chain[-2],), (chain[-1],)))
    graph.inputs, graph.outputs = np.array([x], np.int32), np.array([chain[position] for position in outputs], np.int32)
    return model


def ops(model: tflite.ModelT) -> list[str]:
    return [tflite.op_name(model, op) for op in tflite.main_graph(model).operators]


def run(model: tflite.ModelT) -> list[np.ndarray]:
    return Interpreter(tflite.serialize(model), kernels="reference").run({"x": X})


@pytest.mark.parametrize("activation", ["RELU", "RELU6", "RELU_N1_TO_1"])
def test_an_activation_becomes_part_of_a_fully_connected(activation: str) -> None:
    model = dense(activation)
    (before,) = run(model)
    assert fuse_activations(model)
    assert ops(model) == ["FULLY_CONNECTED"]
    assert [tflite.text(tensor.name) for tensor in tflite.main_graph(model).tensors] == ["x", "w", "y1"]
    np.testing.assert_array_equal(run(model)[0], before)


@pytest.mark.parametrize(
    ("tail", "outputs"),
    [
        (("ABS",), (-1,)),  # no field for it
        (("TANH",), (-1,)),  # the field has a code for it that no kernel obeys
        (("ABS", "RELU"), (-1,)),  # the writer has no such field
        (("RELU",), (0, 1)),  # the value before it is a model output
    ],
)
def test_what_cannot_be_fused_stays(tail: tuple[str, ...], outputs: tuple[int, ...]) -> None:
    model = dense(*tail, outputs=outputs)
    assert not fuse_activations(model)
    assert ops(model) == ["FULLY_CONNECTED", *tail]


def test_an_activation_moves_before_what_only_moves_elements() -> None:
    model = dense("RELU6")
    graph = tflite.main_graph(model)
    order = tflite.add_tensor(model, graph, "order", "INT32", (2,), buffer=tflite.add_buffer(model, np.array([1, 0], np.int32)))
    moved = tflite.add_tensor(model, graph, "moved", "FLOAT32", (4, 2))
    dense_op, relu = graph.operators
    transpose = tflite.add_op(model, "TRANSPOSE", 1, (int(dense_op.outputs[0]), order), (moved,))
    graph.operators = [dense_op, transpose, relu]
    relu.inputs = np.array([moved], np.int32)
    graph.tensors[int(relu.outputs[0])].shape = np.array([4, 2], np.int32)
    (before,) = run(model)
    assert fuse_activations(model)
    assert ops(model) == ["FULLY_CONNECTED", "TRANSPOSE"]
    np.testing.assert_array_equal(run(model)[0], before)


def test_a_second_activation_stays_behind_the_first() -> None:
    model = dense("RELU", "RELU6")
    (before,) = run(model)
    assert fuse_activations(model)
    assert ops(model) == ["FULLY_CONNECTED", "RELU6"]
    np.testing.assert_array_equal(run(model)[0], before)


def test_a_value_that_two_operators_read_stays() -> None:
    model = dense("RELU")
    graph = tflite.main_graph(model)
    other = tflite.add_tensor(model, graph, "other", "FLOAT32", (2, 4))
    graph.operators.append(tflite.add_op(model, "ABS", 1, (int(graph.operators[0].outputs[0]),), (other,)))
    graph.outputs = np.array([*graph.outputs, other], np.int32)
    assert not fuse_activations(model)
