"""The failures that people ask about when they convert Keras models: each ends in the finding that says what to do."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridge.errors import BridgeError
from bridge.inspect import Inspection, inspect

with contextlib.suppress(ModuleNotFoundError):
    import torch._dynamo  # noqa: F401  # its LLVM and TensorFlow's bear each other in this order only
keras = pytest.importorskip("keras", reason="the extra `tensorflow` is not installed")
tf = pytest.importorskip("tensorflow", reason="the extra `tensorflow` is not installed")


class ErfGate(keras.layers.Layer):  # type: ignore[misc, name-defined]  # keras is not typed here
    """x erf(x)."""

    def call(self, x: Any) -> Any:
        return x * tf.math.erf(x)


class ExactGelu(keras.layers.Layer):  # type: ignore[misc, name-defined]
    """GELU as people write it."""

    def call(self, x: Any) -> Any:
        return 0.5 * x * (1 + tf.math.erf(x / np.sqrt(2.0)))


class CountingLoop(keras.layers.Layer):  # type: ignore[misc, name-defined]
    """Goes on as often as its data say."""

    def call(self, x: Any) -> Any:
        rounds = tf.cast(tf.reduce_sum(tf.abs(x)), tf.int32)
        return tf.while_loop(lambda i, _: i < rounds, lambda i, value: (i + 1, tf.sin(value)), [0, x])[1]


class Inner(keras.Model):  # type: ignore[misc, name-defined]
    """A subclassed model."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(4)

    def call(self, x: Any) -> Any:
        return self.dense(x)


class Outer(keras.Model):  # type: ignore[misc, name-defined]
    """A subclassed model in a subclassed model."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.inner = keras.layers.Dense(4), Inner()

    def call(self, x: Any) -> Any:
        return self.inner(self.first(x))


def around(layer: Any, dtype: str = "float32") -> Any:
    inputs = keras.Input((8,), name="x", dtype=dtype)
    return keras.Model(inputs, keras.layers.Dense(3, dtype=dtype)(layer(keras.layers.Dense(4, dtype=dtype)(inputs))))


def codes(found: Inspection) -> list[str]:
    return [finding.code for finding in found.diagnostics]


def test_erf_in_a_custom_layer_is_named_with_the_kernel_that_it_lacks() -> None:
    found = inspect(around(ErfGate(name="gate")))
    findings = [finding for finding in found.diagnostics if finding.code == "no-integer-kernel"]
    assert {finding.node for finding in findings} == {node.name for node in found.nodes if node.op_type == "Erf"}
    assert "/gate/" in str(findings[0].node)
    assert any("for SIGN has no static_wi8_ai8 kernel" in finding.message for finding in findings)


def test_erf_of_a_gelu_is_a_gelu_that_a_rule_keeps_float() -> None:
    found = inspect(around(ExactGelu()))
    assert "gelu" in found.patterns
    assert codes(found) == []


def test_a_float64_model_says_that_it_works_in_float32_now() -> None:
    assert codes(inspect(around(keras.layers.Activation("relu", dtype="float64"), dtype="float64"))) == ["float-width"]


def test_a_model_inside_a_model_needs_an_example_and_keeps_its_names() -> None:
    with pytest.raises(BridgeError, match="needs example inputs") as caught:
        inspect(Outer())
    assert (caught.value.code, caught.value.hint) == ("missing-example-inputs", "Give example_inputs=(x,).")
    found = inspect(Outer(), example_inputs=(np.ones((1, 8), np.float32),))
    assert any("/inner" in node.scope for node in found.nodes)


def test_a_loop_over_data_is_control_flow() -> None:
    with pytest.raises(BridgeError) as caught:
        inspect(around(CountingLoop()))
    assert (caught.value.code, caught.value.exit_code) == ("control-flow", 3)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras when it saves
def test_a_saved_model_with_layers_of_its_own_is_told_to_be_built_in_python(tmp_path: Path) -> None:
    class Unregistered(keras.layers.Layer):  # type: ignore[misc, name-defined]
        """Known nowhere else."""

        def call(self, x: Any) -> Any:
            return x

    around(Unregistered()).save(tmp_path / "own.keras")
    with pytest.raises(BridgeError) as caught:
        inspect(tmp_path / "own.keras")
    assert caught.value.code == "model-unreadable"
    assert "call bridge.convert(model)" in caught.value.hint
