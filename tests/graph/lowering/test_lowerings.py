"""Each lowering: the construct goes, the numbers stay, and what is fine already is not touched."""

import numpy as np
import pytest
from onnx_text import Normalize, constant

RANDOM = np.random.default_rng(8)


def floats(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def integers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def nodes(body: str, x: str = "1, 3, 4, 4", y: str = "N, C, H, W", more: str = "", outputs: str = "") -> str:
    """A model body with input x and output y; sizes of y may be letters."""
    return f"(float[{x}] x{more}) => (float[{y}] y{outputs}) {{ {body} }}"


@pytest.mark.parametrize(
    ("text", "opset", "constants", "ops"),
    [
        pytest.param("(float[1, 7] x) => (float[1, 3] a, float[1, 3] b, float[1, 1] c) { a, b, c = Split<axis = 1, num_outputs = 3>(x) }", 18, {}, ["Split"], id="uneven split"),
        pytest.param(nodes("y = Slice(x, s, e, a, t)"), 17, {"s": integers(-1), "e": integers(-(2**62)), "a": integers(3), "t": integers(-1)}, ["Gather"], id="flip"),
        pytest.param(nodes("y = Slice(x, s, e, a, t)"), 17, {"s": integers(2, 1), "e": integers(0, 4), "a": integers(2, -1), "t": integers(-2, 1)}, ["Gather", "Gather"], id="flip with steps"),
        pytest.param(nodes("y = Pad(x, p, , a)"), 18, {"p": integers(1, 2, 2, 1), "a": integers(-1, 2)}, ["Pad"], id="pad of axes"),
        pytest.param(nodes('y = Pad<mode = "wrap">(x, p)'), 19, {"p": integers(0, 0, 1, 2, 0, 0, 6, 0)}, ["Gather", "Gather"], id="wrap pad"),
        pytest.param(nodes("y = Elu<alpha = 0.3>(x)"), 17, {}, ["Elu", "Neg", "Relu", "Relu", "Mul", "Sub"], id="elu"),
        pytest.param(nodes("y = PRelu(x, s)"), 17, {"s": floats(3, 4, 4)}, ["Neg", "Relu", "Mul", "Relu", "Sub"], id="prelu by element"),
        pytest.param(nodes("y = PRelu(x, s)"), 17, {"s": floats(4)}, ["Neg", "Relu", "Mul", "Relu", "Sub"], id="prelu by column"),
        pytest.param(nodes("y = PRelu(x, s)", x="1, 3, 4", y="1, 3, 4"), 17, {"s": floats(3, 1)}, ["Neg", "Relu", "Mul", "Relu", "Sub"], id="prelu of a sequence"),
        pytest.param(nodes("y = LpNormalization<p = 1, axis = 1>(x)"), 17, {}, ["ReduceL1", "Add", "Div"], id="L1 norm"),
        pytest.param(nodes("y = LpNormalization<p = 2, axis = 2>(x)"), 17, {}, ["ReduceL2", "Add", "Div"], id="L2 norm of an inner axis"),
        pytest.param(nodes('y = Conv<auto_pad = "SAME_LOWER", strides = [2, 2]>(x, w, b)', x="1, 3, 7, 8"), 17, {"w": floats(2, 3, 2, 4), "b": floats(2)}, ["Conv"], id="pads before"),
        pytest.param(nodes("y = Clip(x, l)"), 17, {"l": np.array(1e-9, np.float32)}, ["Sub", "Relu", "Add"], id="tiny lower bound"),
        pytest.param(nodes("y = Clip(x, l, h)"), 17, {"l": np.array([-1e-7], np.float32), "h": np.array(1, np.float32)}, ["Sub", "Relu", "Add", "Min"], id="tiny lower bound below 0 and an upper one"),
        pytest.param(nodes("t = Relu(x) y = Max(t)"), 17, {}, ["Relu"], id="max of one"),
        pytest.param(nodes("t = Sum(x) y = Neg(t)"), 17, {}, ["Neg"], id="sum of one"),
        pytest.param("(float[2, 5, 4] x) => (float[2, 4] y) { y = GatherND(x, i) }", 17, {"i": np.array([[0, 1], [-1, -2]])}, ["GatherND"], id="gather nd"),
        pytest.param("(float[2, 5, 4] x) => (float[2, 4] y) { y = GatherND<batch_dims = 1>(x, i) }", 17, {"i": np.array([[-1], [1]])}, ["GatherND"], id="gather nd in batches"),
        pytest.param("(float[2, 5] x) => (float[2, 2] y) { y = GatherElements<axis = 1>(x, i) }", 17, {"i": np.array([[0, -1], [-5, 2]])}, ["GatherElements"], id="gather elements"),
        pytest.param("(float[8, 2] x) => (float[2, 6] y) { y = Gemm<transA = 1>(x, w, b) }", 17, {"w": floats(8, 6), "b": floats(6)}, ["Transpose", "Gemm"], id="transposed operand"),
        pytest.param("(float[2, 8] x) => (float[2, 6] y) { y = Gemm<alpha = 0.5, beta = 2.0, transB = 1>(x, w, b) }", 17, {"w": floats(6, 8), "b": floats(2, 6)}, ["Gemm", "Add"], id="bias by element"),
    ],
)  # fmt: skip
def test_a_construct_is_replaced_by_an_equal_one(
    normalized: Normalize, text: str, opset: int, constants: dict[str, np.ndarray], ops: list[str]
) -> None:
    result = normalized(text, opset=opset, constants=constants)
    assert result.ops == ops
    assert "kept" in {node.status for node in result.graph.source_nodes}
    assert result.worst_sqnr_db() > 120


def test_negative_indices_are_gone(normalized: Normalize) -> None:
    result = normalized("(float[2, 5, 4] x) => (float[2, 4] y) { y = GatherND(x, i) }", constants={"i": np.array([[0, 1], [-1, -2]])})
    (indices,) = result.graph.model.graph.initializers.values()
    assert constant(indices).tolist() == [[0, 1], [1, 3]]


@pytest.mark.parametrize(
    ("text", "opset", "constants", "ops"),
    [
        pytest.param("(float[1, 6] x) => (float[1, 3] a, float[1, 3] b) { a, b = Split<axis = 1, num_outputs = 2>(x) }", 18, {}, ["Split"], id="even split"),
        pytest.param(nodes("y = Slice(x, s, e, a, t)"), 17, {"s": integers(0), "e": integers(4), "a": integers(3), "t": integers(2)}, ["Slice"], id="forward slice"),
        pytest.param(nodes("y = Pad(x, p)"), 18, {"p": integers(0, 0, 1, 2, 0, 0, 2, 1)}, ["Pad"], id="pad of all axes"),
        pytest.param(nodes("y = Elu(x)"), 17, {}, ["Elu"], id="elu with alpha 1"),
        pytest.param(nodes("y = PRelu(x, s)"), 17, {"s": floats(3, 1, 1)}, ["PRelu"], id="prelu by channel"),
        pytest.param(nodes("y = PRelu(x, s)"), 17, {"s": floats(1)}, ["PRelu"], id="prelu by scalar"),
        pytest.param(nodes("y = LpNormalization(x)"), 17, {}, ["LpNormalization"], id="L2 norm of the last axis"),
        pytest.param(nodes('y = Conv<auto_pad = "SAME_UPPER">(x, w)'), 17, {"w": floats(2, 3, 2, 2)}, ["Conv"], id="pads behind"),
        pytest.param(nodes("y = Clip(x, l)"), 17, {"l": np.array(1e-3, np.float32)}, ["Clip"], id="lower bound that the converter keeps"),
        pytest.param(nodes("t = Relu(x) y = Max(x, t)"), 17, {}, ["Relu", "Max"], id="max of two"),
        pytest.param("(float[2, 8] x) => (float[2, 6] y) { y = Gemm<transB = 1>(x, w, b) }", 17, {"w": floats(6, 8), "b": floats(6)}, ["Gemm"], id="vector bias"),
        pytest.param("(float[2, 8] x) => (float[2, 6] y) { y = Gemm(x, w, b) }", 17, {"w": floats(8, 6), "b": floats(1, 6)}, ["Gemm"], id="vector bias with an axis"),
        pytest.param("(float[2, 8] x, float[2, 6] b) => (float[2, 6] y) { y = Gemm(x, w, b) }", 17, {"w": floats(8, 6)}, ["Gemm", "Add"], id="computed addend"),
    ],
)  # fmt: skip
def test_what_the_converter_handles_stays(normalized: Normalize, text: str, opset: int, constants: dict[str, np.ndarray], ops: list[str]) -> None:
    result = normalized(text, opset=opset, constants=constants)
    assert result.ops == ops
    assert result.worst_sqnr_db() > 120


def test_a_norm_of_zero_leaves_zeros(normalized: Normalize) -> None:
    result = normalized(nodes("y = LpNormalization<p = 2, axis = 2>(x)"))
    zeros = {"x": np.zeros((1, 3, 4, 4), np.float32)}
    assert result.worst_sqnr_db(zeros) == float("inf")


@pytest.mark.parametrize("call", ["Mul(m, g)", "Mul(g, m)", "Add(m, g)", "Sub(m, g)", "Sub(g, m)", "Div(m, g)"])
def test_a_value_per_pixel_meets_a_constant_per_channel_in_a_convolution(normalized: Normalize, call: str) -> None:
    """Only where a spatial size equals the number of channels: there the converter cannot tell the axes apart."""
    body = "m = ReduceMean<axes = [1]>(x) y = {} "
    square = normalized(nodes(body.format(call), x="2, 4, 5, 4", y="2, 4, 5, 4"), constants={"g": floats(4, 1, 1) + 3})
    assert square.ops == ["ReduceMean", "Conv"]
    assert square.worst_sqnr_db() > 120
    other = normalized(nodes(body.format(call), x="2, 3, 5, 4", y="2, 3, 5, 4"), constants={"g": floats(3, 1, 1) + 3})
    assert "Conv" not in other.ops


@pytest.mark.parametrize(
    "constant", [floats(1, 4, 5, 4), floats(4), np.zeros((4, 1, 1), np.float32)], ids=["by element", "by column", "division by zero"]
)
def test_other_broadcasts_stay(normalized: Normalize, constant: np.ndarray) -> None:
    result = normalized(nodes("m = ReduceMean<axes = [1]>(x) a = Abs(m) y = Div(a, g)", x="1, 4, 5, 4", y="1, 4, 5, 4"), constants={"g": constant})
    assert "Conv" not in result.ops


def test_a_computed_addend_is_added_apart(normalized: Normalize) -> None:
    text = "(float[1, 8] x, float[1, 6] b) => (float[1, 6] y) { y = Gemm(x, w, b) }"
    assert normalized(text, constants={"w": floats(8, 6)}).ops == ["Gemm", "Add"]
