from pathlib import Path

import numpy as np

from bridge.files import write_bytes
from bridge.range_choices import tensor_choices, wide_tensors
from bridge.tflite import model as tflite
from bridge.types import NodeFacts, RangeChoice, RangeDecision, TensorMap, TensorPair, TensorSpec

MSE, FIXED = RangeChoice("mse"), RangeChoice(fixed=(0.0, 6.0))


def node(name: str, *outputs: str) -> NodeFacts:
    return NodeFacts(name, "Relu", "", (), "", (name,), (), tuple(TensorSpec(output, (1,), "float32") for output in outputs))


def mapping(**tensors: str | None) -> TensorMap:
    pairs = tuple(TensorPair("", name, "mapped" if other else "fused", tflite_tensor=other) for name, other in tensors.items())
    return TensorMap(pairs, (), (), (), {})


def test_a_choice_holds_for_every_tensor_that_the_node_writes() -> None:
    decided = {"split": RangeDecision("split", MSE, "tails", "my.toml", 3)}
    found, lost = tensor_choices(mapping(a="t/a", b="t/b", c="t/c"), [node("split", "a", "b"), node("other", "c")], decided)
    assert found == {"t/a": MSE, "t/b": MSE}
    assert lost == ()


def test_a_tensor_that_tflite_does_not_have_is_said_once_for_a_rule() -> None:
    nodes = [node(f"conv{index}", f"c{index}") for index in range(7)]
    decided = {one.name: RangeDecision(one.name, FIXED, "tails", "my.toml", 3) for one in nodes}
    found, (lost,) = tensor_choices(mapping(c6="t/c6", c0=None), nodes, decided)
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
