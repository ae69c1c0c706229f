"""Inputs that decide shapes: settled by the declared shapes where these leave one choice, fixed by the user, else left as they are."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from bridge.errors import InputError
from bridge.graph import fix_inputs
from bridge.types import SourceModel


def source(body: str, opset: int = 18) -> SourceModel:
    return SourceModel(proto=parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> g {body}'), digest="d")


def constants(fixed: SourceModel) -> dict[str, list[int]]:
    return {tensor.name: numpy_helper.to_array(tensor).tolist() for tensor in fixed.proto.graph.initializer}


def inputs(fixed: SourceModel) -> list[str]:
    return [value.name for value in fixed.proto.graph.input]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("(float[2, 6] x, int64[2] s) => (float[4, 3] y) { y = Reshape(x, s) }", [4, 3]),
        ("(float[3, 1] x, int64[3] s) => (float[2, 3, 4] y) { y = Expand(x, s) }", [2, 3, 4]),
        ("(float[2, 3] x, int64[2] s) => (float[4, 3] y) { y = Tile(x, s) }", [2, 1]),
        ("(float[1, 3, 1] x, int64[1] s) => (float[1, 3] y) { y = Squeeze(x, s) }", [2]),
        ("(float[3, 4] x, int64[2] s) => (float[3, 1, 4, 1] y) { y = Unsqueeze(x, s) }", [1, 3]),
        ("(float[3, 2, 4] x, int64[1] s) => (float[3, 1, 4] y) { y = ReduceMean(x, s) }", [1]),
        ("(float[3, 2, 4] x, int64[1] s) => (float[3, 4] y) { y = ReduceSum<keepdims = 0>(x, s) }", [1]),
        ("(float[3, 2] x, int64[0] s) => (float[1, 1] y) { y = ReduceSum(x, s) }", []),
        ("(float[5, 2] x, int64[2] s) => (float[2, 2] a, float[3, 2] b) { a, b = Split(x, s) }", [2, 3]),
        ("(float[5, 2] x, int64[1] s) => (float[5, 1] y, int64[5, 1] i) { y, i = TopK(x, s) }", [1]),
        ("(float[1, 1, 2, 2] x, int64[4] s) => (float[1, 1, 3, 5] y) { y = Resize(x, , , s) }", [1, 1, 3, 5]),
        ("(float[1, 12, 4] x, int64[2] s, int64[2] b) => (float[1, 3, 4, 4] y) { y = Col2Im<strides = [2, 2]>(x, s, b) }", [4, 4]),
        ("(float[2] x, int64[2] s) => (float[2, 3] y) { c = ConstantOfShape(s) r = ReduceSum<keepdims = 0>(x) y = Add(c, r) }", None),
        ("(float[3, 2, 2] x, int64[1] s) => (float[3, 2] y) { y = ReduceSum<keepdims = 0>(x, s) }", None),
        ("(float[3, 1] x, int64[1] s) => (float[3, 1] y) { y = ReduceLogSum(x, s) }", None),
        ("(float[1, 1, 4, 4] x, float[4] s) => (float[1, 1, 3, 3] y) { y = Resize(x, , s) }", None),
        ("(float[N, 6] x, int64[2] s) => (float[K, 3] y) { y = Reshape(x, s) }", None),
        ("(float[2, 6] x, int64[2] s) => (float[4, 3] y, float[3, 4] z) { y = Reshape(x, s) z = Reshape(x, s) }", None),
    ],
)
def test_declared_shapes_settle_what_has_one_value_only(body: str, expected: list[int] | None) -> None:
    fixed = fix_inputs(source(body), {})
    assert constants(fixed).get("s") == expected
    assert ("s" in inputs(fixed)) == (expected is None)


@pytest.mark.provokes("input-settled")
def test_what_is_settled_is_said() -> None:
    fixed = fix_inputs(source("(float[2, 6] x, int64[2] s) => (float[4, 3] y) { y = Reshape(x, s) }"), {})
    (note,) = fixed.diagnostics
    assert note.code == "input-settled"
    assert "Input 's' decides a shape" in note.message
    assert "constant [4, 3]" in note.message


def test_a_constant_of_the_user_takes_the_inputs_place_and_type() -> None:
    model = source("(float[1, 1, 4, 4] x, float[4] s) => (float[1, 1, 3, 3] y) { y = Resize(x, , s) }")
    before = model.proto.SerializeToString()
    fixed = fix_inputs(model, {"s": np.array([1, 1, 0.8, 0.8])})
    assert inputs(fixed) == ["x"]
    assert fixed.proto.graph.initializer[0].data_type == onnx.TensorProto.FLOAT
    assert model.proto.SerializeToString() == before


@pytest.mark.parametrize(
    ("constant", "message"),
    [({"t": np.zeros(4)}, "no input 't' to make a constant of"), ({"s": np.zeros(3)}, r"shape \[4\] in the model, which a constant of shape \[3\]")],
)
def test_a_constant_that_does_not_fit_is_refused(constant: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(InputError, match=message):
        fix_inputs(source("(float[1, 1, 4, 4] x, float[4] s) => (float[1, 1, 3, 3] y) { y = Resize(x, , s) }"), constant)
