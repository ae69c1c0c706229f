"""Reshape pairs go where they only bring a tensor into the shape it came from."""

import numpy as np
import pytest
from onnx_text import Normalize

RANDOM = np.random.default_rng(4)
FFN = {
    "w": RANDOM.standard_normal((4, 6)).astype(np.float32),
    "b": RANDOM.standard_normal(6).astype(np.float32),
    "v": RANDOM.standard_normal((6, 4)).astype(np.float32),
    "s": np.array([1, 3, 6]),
}


@pytest.mark.parametrize("activation", ["Relu", "Gelu", "Sigmoid", "LeakyRelu<alpha = 0.2>", "Clip"])
def test_a_feed_forward_block_is_gemm_activation_gemm(normalized: Normalize, activation: str) -> None:
    op_type, _, attributes = activation.partition("<")
    call = f"{op_type}<{attributes}(h, low, high)" if op_type == "Clip" else f"{activation}(h)"
    if op_type == "Clip":
        call = "Clip(h, low, high)"
    text = f"(float[1, 3, 4] x) => (float[1, 3, 4] y) {{ m = MatMul(x, w) h = Add(m, b) a = {call} y = MatMul(a, v) }}"
    result = normalized(text, opset=20, constants=FFN | {"low": np.float32(-1), "high": np.float32(1)})
    assert result.ops == ["Reshape", "Gemm", op_type, "Gemm", "Reshape"]
    assert {"h", "a", "y"} <= set(result.graph.tensor_names.values())  # equal contents, in two axes
    assert result.worst_sqnr_db() > 110


def test_an_activation_does_not_stand_for_the_product_behind_it(normalized: Normalize) -> None:
    text = "(float[1, 3, 4] x) => (float[1, 3, 4] y) { m = MatMul(x, w) h = Add(m, b) a = Relu(h) y = MatMul(a, v) }"
    result = normalized(text, constants=FFN)
    (activation,) = (node for node in result.graph.nodes if node.op_type == "Relu")
    assert len(activation.origins) == 1
    assert [node.op_type for node in result.graph.nodes] == ["Gemm", "Relu", "Gemm"]


def test_an_activation_that_others_read_keeps_its_shape(normalized: Normalize) -> None:
    text = "(float[1, 3, 4] x) => (float[1, 3, 4] y, float[1, 3, 6] a) { h = MatMul(x, w) a = Relu(h) y = MatMul(a, v) }"
    result = normalized(text, constants=FFN)
    assert result.graph.outputs[1].shape == (1, 3, 6)
    assert result.worst_sqnr_db() > 110


def test_two_reshapes_become_one(normalized: Normalize) -> None:
    text = "(float[2, 6] a) => (float[4, 3] y) { x = Relu(a) t = Reshape(x, s) u = Reshape(t, r) y = Neg(u) }"
    result = normalized(text, constants={"s": np.array([3, 4]), "r": np.array([4, 0]) * 0 + np.array([4, 3])})
    assert result.ops == ["Relu", "Reshape", "Neg"]
    assert result.origin("Reshape_1").status == "fused"
    assert result.worst_sqnr_db() == float("inf")


def test_zeros_in_the_second_target_mean_sizes_of_the_first(normalized: Normalize) -> None:
    text = "(float[2, 6] a) => (float[3, 4, 1] y) { x = Relu(a) t = Reshape(x, s) u = Reshape(t, r) y = Neg(u) }"
    result = normalized(text, constants={"s": np.array([3, 4]), "r": np.array([0, 0, 1])})
    assert result.ops == ["Relu", "Reshape", "Neg"]
    assert result.worst_sqnr_db() == float("inf")


def test_a_reshape_and_its_reverse_vanish(normalized: Normalize) -> None:
    text = "(float[2, 6] a) => (float[2, 6] y) { x = Relu(a) t = Reshape(x, s) u = Reshape(t, r) y = Neg(u) }"
    result = normalized(text, constants={"s": np.array([3, 4]), "r": np.array([2, 6])})
    assert result.ops == ["Relu", "Neg"]
    assert {node.status for node in result.graph.source_nodes} == {"kept", "fused"}
    assert result.worst_sqnr_db() == float("inf")


def test_an_intermediate_shape_that_others_read_stays(normalized: Normalize) -> None:
    text = "(float[2, 6] a) => (float[2, 6] y, float[3, 4] z) { x = Relu(a) t = Reshape(x, s) u = Reshape(t, r) y = Neg(u) z = Abs(t) }"
    result = normalized(text, constants={"s": np.array([3, 4]), "r": np.array([2, 6])})
    assert sorted(result.ops) == ["Abs", "Neg", "Relu", "Reshape"]
    assert result.worst_sqnr_db() == float("inf")


def test_a_reshape_to_its_own_shape_at_an_output_keeps_the_name(normalized: Normalize) -> None:
    result = normalized("(float[2, 6] a) => (float[2, 6] y) { x = Relu(a) y = Reshape(x, s) }", constants={"s": np.array([2, 6])})
    assert result.ops == ["Relu"]
    assert result.graph.outputs[0].name == "y"
    assert result.worst_sqnr_db() == float("inf")
