import numpy as np
import pytest
from two_layers import Builder

from bridge.compare.bindings import bind_inputs, output_names, pair_outputs
from bridge.compare.forms import Form
from bridge.compare.outputs import OutputPair
from bridge.errors import InputError
from bridge.types import InputBinding

RNG = np.random.default_rng(0)
IMAGE = RNG.standard_normal((1, 3, 4, 5)).astype(np.float32)
IDS = np.zeros((1, 7), np.int64)


def file_with(*inputs: tuple[str, tuple[int, ...], str], form: Form | None = None) -> Builder:
    build = Builder()
    indices = [build.tensor(name, shape, type_name, form) for name, shape, type_name in inputs]
    build.graph.inputs = build.graph.outputs = np.array(indices, np.int32)
    return build


def test_inputs_are_matched_by_name_whatever_their_order() -> None:
    build = file_with(("ids", (1, 7), "INT32"), ("image", (1, 4, 5, 3), "FLOAT32"))
    assert bind_inputs({"image": IMAGE, "ids": IDS}, build.model, where="m.tflite") == (
        InputBinding("ids", "ids", (1, 7), (0, 1), "int32"),
        InputBinding("image", "image", (1, 3, 4, 5), (0, 2, 3, 1), "float32"),
    )


def test_names_that_tensorflow_decorated_are_the_same_names() -> None:
    build = file_with(("serving_default_b:0", (1, 7), "INT64"), ("serving_default_a:0", (1, 7), "INT64"))
    bound = bind_inputs({"a": IDS, "b": IDS}, build.model, where="m.tflite")
    assert [binding.onnx_name for binding in bound] == ["b", "a"]


def test_without_names_the_order_counts() -> None:
    build = file_with(("one", (1, 4, 5, 3), "FLOAT32"), ("two", (1, 7), "INT64"))
    assert [binding.onnx_name for binding in bind_inputs({"image": IMAGE, "ids": IDS}, build.model, where="m.tflite")] == ["image", "ids"]


def test_an_integer_input_for_real_samples_keeps_their_type_to_be_quantized_later() -> None:
    build = file_with(("image", (1, 4, 5, 3), "INT8"), form=Form(0.1, 0))
    (binding,) = bind_inputs({"image": IMAGE}, build.model, where="m.tflite")
    assert binding.dtype == "float32"


def test_equal_shapes_keep_their_layout() -> None:
    (binding,) = bind_inputs({"x": np.zeros((1, 5, 5), np.float32)}, file_with(("x", (1, 5, 5), "FLOAT32")).model, where="m.tflite")
    assert binding.permutation == (0, 1, 2)


@pytest.mark.parametrize(
    ("given", "taken", "order"),
    [((1, 3, 4, 4), (1, 4, 4, 3), (0, 2, 3, 1)), ((1, 4, 4, 3), (1, 3, 4, 4), (0, 3, 1, 2)), ((1, 1, 4, 4), (1, 4, 4, 1), (0, 2, 3, 1))],
)
def test_square_images_move_their_channels_only(given: tuple[int, ...], taken: tuple[int, ...], order: tuple[int, ...]) -> None:
    (binding,) = bind_inputs({"x": np.zeros(given, np.float32)}, file_with(("x", taken, "FLOAT32")).model, where="m.tflite")
    assert binding.permutation == order


@pytest.mark.parametrize(
    ("taken", "given", "message"),
    [
        ((1, 8, 8, 8), (1, 8, 8, 8), "6 orders of the axes fit"),
        ((4, 4, 3, 1), (1, 3, 4, 4), "2 orders of the axes fit"),
        ((1, 6, 5, 3), (1, 3, 4, 5), "no order of the axes"),
    ],
)
def test_shapes_that_do_not_decide_are_refused(taken: tuple[int, ...], given: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        bind_inputs({"x": np.zeros(given, np.float32)}, file_with(("x", taken, "FLOAT32")).model, where="m.tflite")


def test_another_number_of_inputs_is_refused() -> None:
    with pytest.raises(InputError, match=r"m.tflite: the file has 1 inputs \(x\), the model 2: a, b"):
        bind_inputs({"a": IDS, "b": IDS}, file_with(("x", (1, 7), "INT64")).model, where="m.tflite")


def test_outputs_without_names_are_paired_by_their_values() -> None:
    a, b = RNG.standard_normal((1, 3, 4, 4)), RNG.standard_normal((1, 3, 4, 4))
    noisy = [b.transpose(0, 2, 3, 1) + 0.01, a.transpose(0, 3, 2, 1) + 0.01]
    assert pair_outputs({"a": a, "b": b}, noisy, [None, None], where="m.tflite") == [
        OutputPair("a", (1, 3, 4, 4), 1, (0, 3, 2, 1)),
        OutputPair("b", (1, 3, 4, 4), 0, (0, 3, 1, 2)),
    ]


def test_a_name_decides_before_values_do() -> None:
    a, b = np.ones((1, 4)), np.full((1, 4), 2.0)
    found = pair_outputs({"a": a, "b": b}, [a, b], ["b", "a"], where="m.tflite")
    assert [pair.position for pair in found] == [1, 0]


def test_a_flattened_output_is_compared_as_it_stands() -> None:
    value = RNG.standard_normal((1, 2, 6))
    assert pair_outputs({"a": value}, [value.reshape(12)], [None], where="m.tflite") == [OutputPair("a", (1, 2, 6), 0, (0,))]


def test_an_output_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match=r"no output fits the model's 'a' of shape \[1, 4\]. Received: \[1, 5\]"):
        pair_outputs({"a": np.ones((1, 4))}, [np.ones((1, 5))], [None], where="m.tflite")


def test_output_names_are_known_only_where_they_are_clear() -> None:
    build = file_with(("StatefulPartitionedCall:0", (1,), "FLOAT32"), ("y", (1,), "FLOAT32"))
    assert output_names(build.model, {"y": 0, "z": 0}) == [None, "y"]
