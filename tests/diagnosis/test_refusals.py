"""Models that cannot be converted: one finding for each cause, and the cut that leaves a part of the model."""

from pathlib import Path

import onnx
import pytest

from bridge.errors import UnsupportedModelError
from bridge.graph import normalize
from bridge.graph.cuts import advise
from bridge.sources import open_model
from bridge.types import SourceModel


def parsed(body: str, opset: int = 17) -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}, "my.ops" : 1]> g {body}')


def refused(model: onnx.ModelProto) -> UnsupportedModelError:
    with pytest.raises(UnsupportedModelError) as caught:
        normalize(SourceModel(proto=model, digest="d"), input_shapes={})
    return caught.value


@pytest.mark.parametrize(
    ("code", "body"),
    [
        pytest.param("random", "(float[2] x) => (float[2] y) { [n] y = RandomNormalLike(x) }", marks=pytest.mark.provokes("random")),
        pytest.param(
            "training",
            "(float[2,3] x, float[3] s) => (float[2,3] y) { [n] y, m, v = BatchNormalization<training_mode=1>(x, s, s, s, s) }",
            marks=pytest.mark.provokes("training"),
        ),
        pytest.param(
            "no-tflite-type",
            "(float[1,8,1] x) => (float[1,8,2] y) { [n] c = Cast<to=17>(x) y = Cast<to=1>(c) }",
            marks=pytest.mark.provokes("no-tflite-type"),
        ),
        pytest.param("dynamic-shape", "(float[8] x) => (int64[1,k] y) { [n] y = NonZero(x) }", marks=pytest.mark.provokes("dynamic-shape")),
        pytest.param(
            "constant-output",
            "(float[2] x) => (float[2] y) { y = Constant<value = float[2] {1, 2}>() }",
            marks=pytest.mark.provokes("constant-output"),
        ),
        pytest.param(
            "control-flow",
            """(float[1,4] x, bool c) => (float[1,4] y) {
            [n] y = If(c) <then_branch = a () => (float[1,4] p) { p = Sin(x) }, else_branch = b () => (float[1,4] q) { q = Relu(x) }> }""",
            id="If",
        ),
        pytest.param(
            "control-flow",
            """(float[1,4] x, int64 k) => (float[1,4] y) { go = Constant<value = bool {1}>()
            [n] y = Loop(k, go, x) <body = b (int64 i, bool c, float[1,4] a) => (bool d, float[1,4] e) { d = Identity(c) e = Sigmoid(a) }> }""",
            id="Loop",
        ),
        pytest.param("empty-tensor", "(float[1,0,4] x) => (float[1,0,4] y) { y = Relu(x) }", marks=pytest.mark.provokes("empty-tensor")),
    ],
)
def test_each_cause_is_a_finding_with_its_node(code: str, body: str) -> None:
    error = refused(parsed(body))
    assert (error.code, [finding.code for finding in error.findings]) == (code, [code])
    if "[n]" in body:
        assert error.findings[0].node == "n"


def test_several_causes_are_several_findings() -> None:
    error = refused(parsed("(float[2] x) => (float[2] y) { [a] s = my.ops.Odd(x) [b] t = RandomNormalLike(s) [c] y = my.ops.Odd(t) }"))
    assert [(finding.code, finding.node) for finding in error.findings] == [("foreign-domain", "a"), ("random", "b")]
    assert "'a', 'c'" in error.findings[0].message
    assert "register_op" in error.findings[0].hint
    assert "register_op" not in error.findings[1].hint


def detector(tail: str, output: str) -> onnx.ModelProto:
    """Four layers, then something that cannot be converted."""
    return parsed(f"(float[1,4,8] x) => ({output}) {{ a = Relu(x) b = Sigmoid(a) boxes = Tanh(b) scores = Softmax(b) {tail} }}")


def test_the_cut_before_what_ends_a_model_is_told_and_works(tmp_path: Path) -> None:
    model = detector("[nms] keep = my.ops.Nms(boxes, scores)", "float[1,4] keep")
    error = refused(model)
    assert error.hint.endswith("Here `--to boxes --to scores` takes 4 of the 5 nodes, without these.")
    assert error.findings[0].hint.endswith("without these.")
    onnx.save(model, tmp_path / "m.onnx")
    part = open_model(tmp_path / "m.onnx", input_shapes={}, end=("boxes", "scores")).graph
    assert [node.op_type for node in part.nodes] == ["Relu", "Sigmoid", "Tanh", "Softmax"]


def test_the_cut_behind_what_begins_a_model_is_told_and_works(tmp_path: Path) -> None:
    model = parsed("(float[1,4] x) => (float[1,4] y) { [decode] image = my.ops.Decode(x) a = Relu(image) b = Sigmoid(a) y = Tanh(b) }")
    assert refused(model).hint.endswith("Here `--from image` takes 3 of the 4 nodes, without these.")
    onnx.save(model, tmp_path / "m.onnx")
    part = open_model(tmp_path / "m.onnx", input_shapes={"image": (1, 4)}, start=("image",)).graph
    assert [node.op_type for node in part.nodes] == ["Relu", "Sigmoid", "Tanh"]


def test_no_cut_is_told_where_little_would_be_left() -> None:
    assert "Here" not in refused(parsed("(float[2] x) => (float[2] y) { [a] s = my.ops.Odd(x) [b] t = Relu(s) [c] y = my.ops.Odd(t) }")).hint
    assert advise(detector("", "float[1,4,8] scores"), ["nothing"]) is None
    many = " ".join(f"p{i} = Relu(x)" for i in range(6))
    wide = parsed(f"(float[2] x) => (float[2] y) {{ {many} y = my.ops.Odd(p0, p1, p2, p3, p4, p5) }}")
    assert advise(wide, ["y"]) is None


def test_the_part_between_what_begins_and_what_ends_a_model_is_told_and_works(tmp_path: Path) -> None:
    model = parsed(
        "(float[1,4] x) => (float[1,4] y) { [decode] image = my.ops.Decode(x) a = Relu(image) b = Sigmoid(a) c = Tanh(b) [encode] y = my.ops.Encode(c) }"
    )
    assert refused(model).hint.endswith("Here `--from image --to c` takes 3 of the 5 nodes, without these.")
    onnx.save(model, tmp_path / "m.onnx")
    part = open_model(tmp_path / "m.onnx", input_shapes={"image": (1, 4)}, start=("image",), end=("c",)).graph
    assert [node.op_type for node in part.nodes] == ["Relu", "Sigmoid", "Tanh"]
