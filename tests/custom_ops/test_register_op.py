"""What can be registered, and what is refused."""

import onnx
import onnx.parser
import pytest
from custom_model import scope, swoosh

import bridge
from bridge.custom_ops.registry import find
from bridge.errors import UsageError

__all__ = ["scope"]  # a fixture of every test here


def test_a_decorator_registers_the_function_and_leaves_it_as_it_is() -> None:
    def build(builder: object, x: object) -> object:
        return x

    assert bridge.register_op("my.layers", "Pass")(build) is build
    found = find("my.layers", "Pass")
    assert found is not None
    assert found.decomposition is build


def test_a_scope_forgets_what_was_registered_in_it() -> None:
    with bridge.registered_ops():
        bridge.register_op("my.layers", "Pass", onnx.FunctionProto())
    assert find("my.layers", "Pass") is None


@pytest.mark.parametrize("domain", ["", "ai.onnx"])
def test_a_standard_operator_is_refused(domain: str) -> None:
    with pytest.raises(UsageError, match="Relu stands in the standard domain"):
        bridge.register_op(domain, "Relu", onnx.FunctionProto())


def test_an_operator_is_registered_once() -> None:
    bridge.register_op("my.layers", "Swoosh", onnx.FunctionProto())
    with pytest.raises(UsageError, match=r"my\.layers Swoosh is registered already"):
        bridge.register_op("my.layers", "Swoosh", onnx.FunctionProto())


def test_a_custom_operator_of_tflite_needs_a_reference() -> None:
    with pytest.raises(UsageError, match="as CUSTOM operator 'SwooshKernel' has no reference"):
        bridge.register_op("my.layers", "Swoosh", tflite_custom="SwooshKernel")  # type: ignore[call-overload]  # the mistake is the test


def test_both_ways_out_at_once_are_refused() -> None:
    with pytest.raises(UsageError, match="cannot be both a decomposition and a TFLite CUSTOM operator"):
        bridge.register_op("my.layers", "Swoosh", onnx.FunctionProto(), tflite_custom="S", reference=swoosh)  # type: ignore[call-overload]  # likewise
