"""Models are lifted to an opset in which every operator that normalising writes is legal."""

import numpy as np
import onnx_ir as ir
import pytest
from onnx_text import Normalize

from bridge.graph.opset import MINIMUM_OPSET


@pytest.mark.parametrize("opset", [9, 11, 13, 17, 18, 19, 20])
def test_old_models_are_lifted(normalized: Normalize, opset: int) -> None:
    result = normalized("(float[1, 4] x) => (float[1, 4] y) { [a] t = Softmax<axis = 1>(x) [b] y = Relu(t) }", opset=opset)
    assert result.graph.model.opset_imports[""] == MINIMUM_OPSET
    assert [node.name for node in result.graph.source_nodes] == ["a", "b"]
    assert result.worst_sqnr_db() > 120


def test_newer_models_stay(normalized: Normalize) -> None:
    assert normalized("(float[4] x) => (float[4] y) { y = Relu(x) }", opset=21).graph.model.opset_imports[""] == 21


def test_names_and_recorded_scopes_survive_the_lift(normalized: Normalize) -> None:
    model = normalized(
        "(float[1, 2, 2, 2] x) => (float[1, 2, 4, 4] y) { [up] y = Upsample(x, s) }", opset=9, constants={"s": np.array([1, 1, 2, 2], np.float32)}
    ).source
    model.graph.node[0].metadata_props.add(key="pkg.torch.onnx.name_scopes", value="['', 'neck', 'up']")
    result = normalized(model)
    assert result.ops == ["Resize"]
    assert result.node("up").scope == "neck"
    assert result.worst_sqnr_db() == float("inf")


@pytest.mark.provokes("opset-kept")
def test_a_model_that_cannot_be_lifted_stays_and_it_is_said(normalized: Normalize, monkeypatch: pytest.MonkeyPatch) -> None:
    from onnxscript import version_converter

    class Refusing(ir.passes.InPlacePass):
        """The version converter of onnx leaves a model as it is where it fails."""

        def __init__(self, *_: object, **__: object) -> None:
            super().__init__()

        def call(self, model: ir.Model) -> ir.passes.PassResult:
            return ir.passes.PassResult(model, modified=False)

    monkeypatch.setattr(version_converter, "ConvertVersionPass", Refusing)
    result = normalized("(float[4] x) => (float[4] y) { y = Relu(x) }", opset=13)
    assert result.graph.model.opset_imports[""] == 13
    assert [(found.code, found.severity) for found in result.graph.diagnostics] == [("opset-kept", "warning")]
