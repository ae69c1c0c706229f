from pathlib import Path

import numpy as np
import pytest
from two_layers import Builder

from bridge.compare.forms import Form, feeder, form_of
from bridge.errors import InputError
from bridge.types import InputBinding


def test_real_and_stored_are_inverse_and_stored_saturates() -> None:
    form = Form(0.25, 10)
    np.testing.assert_array_equal(form.real(np.array([-128, 10, 14], np.int8)), np.array([-34.5, 0.0, 1.0], np.float32))
    np.testing.assert_array_equal(form.stored(np.array([-1e9, 0.0, 1.0, 1e9], np.float32), np.dtype("int8")), np.array([-128, 10, 14, 127], np.int8))
    np.testing.assert_array_equal(form.stored(np.array([-1e9, 1e9], np.float32), np.dtype("uint8")), np.array([0, 255], np.uint8))


def test_a_float_tensor_and_one_without_a_scale_have_no_form() -> None:
    build = Builder()
    tensors = [build.tensor("f", (1,)), build.tensor("ids", (1,), "INT32"), build.tensor("q", (1,), "INT8", Form(0.5, 1))]
    assert [form_of(build.graph.tensors[index]) for index in tensors] == [None, None, Form(0.5, 1)]


@pytest.mark.parametrize(("type_name", "zero_point"), [("INT8", -5), ("UINT8", 123)])
def test_integer_inputs_are_fed_the_stored_form_of_real_samples(tmp_path: Path, type_name: str, zero_point: int) -> None:
    build = Builder()
    x = build.tensor("serving_x", (1, 2, 3), type_name, Form(0.5, zero_point))
    build.save(tmp_path / "m.tflite", [x], [x])
    feed = feeder(build.model, [InputBinding("x", "float_x", (1, 3, 2), (0, 2, 1), "float32")])
    sample = np.arange(6, dtype=np.float32).reshape(1, 3, 2)
    fed = feed({"x": sample})
    assert fed["serving_x"].dtype.name == type_name.lower()
    np.testing.assert_array_equal(fed["serving_x"], sample.transpose(0, 2, 1) * 2 + zero_point)


def test_integer_samples_for_integer_inputs_are_only_cast() -> None:
    build = Builder()
    ids = build.tensor("ids", (1, 2), "INT32")
    build.graph.inputs = np.array([ids], np.int32)
    feed = feeder(build.model, [InputBinding("ids", "ids", (1, 2), (0, 1), "int32")])
    fed = feed({"ids": np.array([[5, 7]], np.int64)})
    assert fed["ids"].dtype == np.int32


def test_a_file_with_other_inputs_is_refused() -> None:
    build = Builder()
    x = build.tensor("x", (1, 4))
    build.graph.inputs = np.array([x], np.int32)
    with pytest.raises(InputError, match="has 1 inputs, the model that it is compared with 2"):
        feeder(build.model, [InputBinding("a", "a", (1, 4), (0, 1), "float32")] * 2)
