"""Models without the operators that become TFLite CUSTOM operators."""

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from custom_model import model, scope

import bridge
from bridge.custom_ops import CutModel, custom_calls, cut
from bridge.errors import UnsupportedModelError, UsageError

__all__ = ["scope"]  # a fixture of every test here

TEXT = """
<ir_version: 8, opset_import: ["" : 17, "my.layers" : 1]>
g (float[2, 4] x, float[4] z) => (float[2, 4] y, float[2, 4] t, float[1] e) {
    one = Constant<value_float = 1.0>()
    a = Relu(x)
    [first] b = my.layers.Twice<by = 3.0>(a, , one)
    c = Neg(b)
    [second] d = my.layers.Twice(c)
    y = Add(d, z)
    [third] t0 = my.layers.Twice(z)
    t = Identity(d)
    [last] e = my.layers.Ends(c)
}
"""
FEED = {"x": np.random.default_rng(0).standard_normal((2, 4)).astype(np.float32), "z": np.arange(4, dtype=np.float32)}


def open_runner(part: onnx.ModelProto) -> Any:
    session = ort.InferenceSession(part.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda feeds, names: dict(zip(names, session.run(list(names), dict(feeds)), strict=True))


def twice(x: np.ndarray, low: np.ndarray | None = None, one: np.ndarray | None = None, *, by: float = 2.0) -> np.ndarray:
    assert low is None
    assert one is None or one == 1.0
    return np.asarray(x * np.float32(by))


def cut_model(**references: Any) -> CutModel:
    bridge.register_op("my.layers", "Twice", tflite_custom="Twice", reference=references.get("twice", twice))
    bridge.register_op("my.layers", "Ends", tflite_custom="Ends", reference=lambda x: np.ones(1 + (x > 0).sum(), np.uint8))
    whole = model(TEXT, {})
    return cut(whole, custom_calls(whole), FEED, open_runner=open_runner)


def test_what_they_write_becomes_an_input_and_what_they_read_an_output() -> None:
    found = cut_model()
    onnx.checker.check_model(found.model)
    assert [value.name for value in found.model.graph.input] == ["x", "z", "b", "d"]
    assert [value.name for value in found.model.graph.output] == ["y", "a", "c"]
    assert found.end_names == {"a", "c"}
    assert found.dropped_outputs == {"t": "d", "e": "e"}
    assert set(found.constants) == {"one"}
    assert found.written["d"].shape == (2, 4)


def test_values_at_the_cuts_come_from_the_references() -> None:
    values = cut_model().values(FEED)
    positive = np.maximum(FEED["x"], 0)
    np.testing.assert_allclose(values["b"], 3 * positive)
    np.testing.assert_allclose(values["d"], -6 * positive)


def test_an_operator_at_the_end_may_write_another_shape_for_each_sample() -> None:
    assert "e" not in cut_model().values({**FEED, "x": -FEED["x"]})


def test_a_shape_that_depends_on_the_sample_is_refused_where_it_matters() -> None:
    found = cut_model(twice=lambda x, *rest, by=2.0: np.asarray(x * by, np.float32)[: 1 if x.max() > 100 else None])
    with pytest.raises(UnsupportedModelError, match=r"'b', which a custom operator writes, is float32 \[1, 4\] for one sample and float32 \[2, 4\]"):
        found.values({**FEED, "x": FEED["x"] + 1000})


def test_a_reference_that_fails_is_named() -> None:
    with pytest.raises(UsageError, match=r"reference of my\.layers Twice, node 'first' raised ZeroDivisionError"):
        cut_model(twice=lambda *x, by=1.0: 1 // 0)


def test_a_model_of_nothing_else_is_refused() -> None:
    bridge.register_op("my.layers", "Twice", tflite_custom="Twice", reference=twice)
    whole = model('<ir_version: 8, opset_import: ["" : 17, "my.layers" : 1]> g (float[2] x) => (float[2] y) { y = my.layers.Twice(x) }', {})
    with pytest.raises(UnsupportedModelError, match=r"Nothing is left of the model beside its custom operators: my\.layers Twice"):
        cut(whole, custom_calls(whole), {"x": np.ones(2, np.float32)}, open_runner=open_runner)
