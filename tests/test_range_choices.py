from pathlib import Path

import numpy as np
import pytest

from bridge.files import write_bytes
from bridge.range_choices import tensor_choices, wide_tensors
from bridge.tflite import model as tflite
from bridge.types import InputBinding, RangeChoice, RangeDecision, TensorMap, TensorPair

MSE, FIXED = RangeChoice("mse"), RangeChoice(fixed=(0.0, 6.0))


def mapping(*inputs: InputBinding, **tensors: str | None) -> TensorMap:
    pairs = tuple(TensorPair("", name, "mapped" if other else "fused", tflite_tensor=other) for name, other in tensors.items())
    return TensorMap(pairs, inputs, (), (), {})


def decided(node: str, choice: RangeChoice, *tensors: str) -> dict[str, RangeDecision]:
    return {tensor: RangeDecision(tensor, node, choice, "tails", "my.toml", 3) for tensor in tensors}


def test_a_choice_holds_for_the_tensors_that_tflite_has() -> None:
    found, lost = tensor_choices(mapping(a="t/a", b="t/b", c="t/c", d=None), decided("split", MSE, "a", "b", "d"))
    assert found == {"t/a": MSE, "t/b": MSE}
    assert lost == ()


def test_a_choice_holds_for_a_model_input() -> None:
    image = InputBinding("image", "serving_image", (1, 3, 8, 8), (0, 2, 3, 1), "float32")
    assert tensor_choices(mapping(image, y="t/y"), decided("conv", FIXED, "image")) == ({"serving_image": FIXED}, ())


@pytest.mark.provokes("range-without-tensor")
def test_a_tensor_that_tflite_does_not_have_is_said_once_for_a_rule() -> None:
    choices = {tensor: one for index in range(7) for tensor, one in decided(f"conv{index}", FIXED, f"c{index}").items()}
    found, (lost,) = tensor_choices(mapping(c6="t/c6", c0=None), choices)
    assert found == {"t/c6": FIXED}
    assert (lost.code, lost.severity) == ("range-without-tensor", "warning")
    assert "Rule 'tails' (my.toml:3) chooses the range of what 'conv0', 'conv1', 'conv2', 'conv3', 'conv4' and 1 more writes" in lost.message


def test_the_tensors_around_an_operator_in_int16_are_wide(tmp_path: Path) -> None:
    model = tflite.new_model("chain")
    graph = tflite.main_graph(model)
    x, y, z = (tflite.add_tensor(model, graph, name, "FLOAT32", (1, 4)) for name in "xyz")
    graph.operators = [tflite.add_op(model, "NEG", 1, (x,), (y,)), tflite.add_op(model, "ABS", 1, (y,), (z,))]
    graph.inputs, graph.outputs = np.array([x], np.int32), np.array([z], np.int32)
    write_bytes(tmp_path / "chain.tflite", tflite.serialize(model))
    assert wide_tensors(tmp_path / "chain.tflite", ["static_wi8_ai8", "static_wi8_ai16"]) == {"y": 16, "z": 16}
    assert wide_tensors(tmp_path / "chain.tflite", ["static_wi8_ai8", "float32"]) == {}
