"""Parts of a model between tensors."""

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest
from custom_model import SWOOSH, model, save, scope

import bridge
from bridge.custom_ops import part_between
from bridge.errors import InputError, UnsupportedModelError
from bridge.sources import open_model, open_reference

__all__ = ["scope"]  # a fixture of every test here

SHARED = Path(__file__).parents[3] / "shared" / "models" / "models" / "ort_superres_custom_domain.onnx"
CUT = {"start": ["_ppp5_expanded"], "end": ["output"], "input_shapes": {"_ppp5_expanded": (1, 1, 224, 224)}}


def test_without_tensors_it_is_the_model_itself() -> None:
    whole = model()
    assert part_between(whole, (), ()) is whole


def test_what_lies_behind_a_custom_operator_can_be_taken_alone() -> None:
    part = part_between(model(), ["s"], [])
    assert [node.name for node in part.graph.node] == ["fc2"]
    assert [value.name for value in part.graph.input] == ["s"]
    assert {tensor.name for tensor in part.graph.initializer} == {"w2", "b2"}
    s = np.ones((1, 8), np.float32)
    whole = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model().graph.initializer}
    (found,) = ort.InferenceSession(part.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"s": s})
    np.testing.assert_allclose(found, s @ whole["w2"] + whole["b2"], atol=1e-5)


def test_what_lies_before_keeps_its_types() -> None:
    part = part_between(model(), [], ["a"])
    assert [node.name for node in part.graph.node] == ["fc1"]
    onnx.checker.check_model(part, full_check=True)
    assert [size.dim_value for size in part.graph.output[0].type.tensor_type.shape.dim] == [1, 8]


def test_branches_bring_what_they_read() -> None:
    text = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[2] x, bool c) => (float[2] y) {
    n = Neg(x)
    t = If(c) <then_branch = a () => (float[2] p) { p = Abs(n) }, else_branch = b () => (float[2] q) { q = Relu(x) }>
    y = Relu(t)
}
"""
    assert [node.op_type for node in part_between(onnx.parser.parse_model(text), [], ["t"]).graph.node] == ["Neg", "If"]


def test_an_unknown_tensor_is_refused_with_near_names() -> None:
    with pytest.raises(InputError, match=r"The model has no tensor 'fc1\.out'"):
        part_between(model(), ["fc1.out"], [])
    with pytest.raises(InputError) as caught:
        part_between(model(SWOOSH.replace("s = my", "scores = my").replace("Gemm(s,", "Gemm(scores,")), [], ["score"])
    assert caught.value.hint == "Did you mean scores?"


def test_a_start_that_nothing_needs_is_refused() -> None:
    with pytest.raises(InputError, match="Nothing that leads to a needs 's'"):
        part_between(model(), ["s"], ["a"])


def test_a_shape_that_the_file_does_not_tell_is_asked_for(tmp_path: Path) -> None:
    path, _ = save(tmp_path)
    with pytest.raises(InputError, match="Input 's' has no shape in the model"):
        open_model(path, input_shapes={}, start=["s"])
    assert [spec.shape for spec in open_model(path, input_shapes={"s": (1, 8)}, start=["s"]).inputs] == [(1, 8)]


@pytest.mark.skipif(not SHARED.is_file(), reason="the shared models are not beside the checkout")
def test_the_network_between_a_decoder_and_an_encoder_of_pictures() -> None:
    with pytest.raises(UnsupportedModelError, match="EncodeImage of domain"):
        bridge.inspect(SHARED, input_shapes={"image": (25757,)})
    opened = open_model(SHARED, **CUT)  # type: ignore[arg-type]  # a table of different arguments
    assert {node.op_type for node in opened.graph.source_nodes} == {"Conv", "DepthToSpace", "Relu"}
    found = open_reference(opened.model, threads=1)[0].run({"_ppp5_expanded": np.full((1, 1, 224, 224), 0.5, np.float32)})
    assert found["output"].shape == (1, 1, 672, 672)
