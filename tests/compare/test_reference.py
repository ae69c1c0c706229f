"""onnxruntime is the reference where it can be, ONNX's own evaluator where it cannot."""

import numpy as np
import onnx
import pytest
from onnx import parser

from bridge.compare import OnnxRunner
from bridge.compare.reference import EvaluatorRunner
from bridge.errors import BridgeError, InputError, ToolError
from bridge.sources import open_reference
from bridge.types import SourceModel, TensorSpec

X = np.array([[1.0, -2.0, 3.0]], np.float32)


def model(body: str, opset: int = 17, signature: str = "(float[N, 3] x) => (float[N, 3] y)", domain: str = "") -> onnx.ModelProto:
    further = f', "{domain}" : 1' if domain else ""
    return parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}{further}]> g {signature} {{ {body} }}')


def source(body: str, domain: str = "") -> SourceModel:
    return SourceModel(model(body, domain=domain), "d")


def test_onnxruntime_is_the_reference_where_it_runs() -> None:
    reference, doubts = open_reference(source("y = Relu(x)"), [{"x": X}], threads=1)
    assert isinstance(reference, OnnxRunner)
    assert doubts == ()


@pytest.mark.provokes("reference-evaluator")
def test_the_evaluator_takes_over_where_onnxruntime_cannot_load_the_model() -> None:
    proto = model("a = Relu(x) y = Neg(a)", opset=onnx.defs.onnx_opset_version())  # onnxruntime 1.31 loads none newer than 26
    reference, doubts = open_reference(SourceModel(proto, "d"), [{"x": X}], threads=1)
    assert isinstance(reference, EvaluatorRunner)
    assert doubts[0].code == "reference-evaluator"
    assert "so ONNX's reference evaluator says what is right: onnxruntime cannot load the model" in doubts[0].message
    found = reference.run({"x": X})
    assert list(found) == ["y", "a"]
    np.testing.assert_array_equal(found["y"], -np.maximum(X, 0))


@pytest.mark.provokes("no-reference")
def test_what_neither_can_run_has_onnxruntimes_reason_and_a_cause() -> None:
    with pytest.raises(InputError, match="onnxruntime cannot load the model") as raised:
        open_reference(source("y = Strange(x)"), [{"x": X}], threads=1)
    assert raised.value.causes == ("no-reference",)


@pytest.mark.provokes("unsupported-model")
def test_a_foreign_domain_is_left_to_onnxruntime() -> None:
    with pytest.raises(BridgeError, match="onnxruntime cannot load the model"):
        open_reference(source("y = strange.Relu(x)", domain="strange"), [{"x": X}], threads=1)


def test_the_evaluator_shows_what_is_asked_for() -> None:
    runner = EvaluatorRunner(model("a = Relu(x) y = Neg(a)"))
    assert runner.inputs == (TensorSpec("x", ("N", 3), "float32"),)
    assert runner.outputs == ("y",)
    assert list(runner.run({"x": X}, ["a"])) == ["a"]
    assert runner.outputs_only(threads=1).tensors == ("y",)


def test_the_evaluators_failures_are_named() -> None:
    with pytest.raises(ToolError, match="ONNX's reference evaluator cannot run the model"):
        EvaluatorRunner(model("y = MatMul(x, x)")).run({"x": X})
