"""MatMul with a constant becomes Gemm; near misses stay what they are."""

import numpy as np
import onnx_ir as ir
import pytest
from onnx_text import Normalize, constant

RANDOM = np.random.default_rng(2)
W = RANDOM.standard_normal((4, 2)).astype(np.float32)
B = RANDOM.standard_normal(2).astype(np.float32)


@pytest.mark.parametrize(
    ("inputs", "outputs", "ops"),
    [
        ("float[3, 4] x", "float[3, 2] y", ["Gemm"]),
        ("float[1, 3, 4] x", "float[1, 3, 2] y", ["Reshape", "Gemm", "Reshape"]),
        ("float[2, 1, 3, 4] x", "float[2, 1, 3, 2] y", ["Reshape", "Gemm", "Reshape"]),
        ("float[4] x", "float[2] y", ["Reshape", "Gemm", "Reshape"]),
    ],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_matmul_and_bias_become_one_gemm(normalized: Normalize, inputs: str, outputs: str, ops: list[str], swapped: bool) -> None:
    add = "Add(b, t)" if swapped else "Add(t, b)"
    result = normalized(f"({inputs}) => ({outputs}) {{ t = MatMul(x, w) y = {add} }}", constants={"w": W, "b": B})
    assert result.ops == ops
    gemm = result.node("MatMul_0")
    assert gemm.op_type == "Gemm"
    assert gemm.origins == ("MatMul_0", "Add_1")
    assert [spec.name for spec in gemm.inputs[:1]] == ["x"]
    assert [spec.name for spec in gemm.outputs] == ["y"]
    assert gemm.constant_inputs == (1, 2)
    assert (result.origin("Add_1").status, result.origin("Add_1").into) == ("fused", "MatMul_0")
    assert result.worst_sqnr_db() > 120


@pytest.mark.parametrize("bias", [np.array(values, np.float32) for values in (0.5, [0.5], [[0.5, -1]], [[[0.5]]])])
def test_a_bias_may_be_a_scalar_or_have_leading_ones(normalized: Normalize, bias: np.ndarray) -> None:
    result = normalized("(float[1, 3, 4] x) => (float[1, 3, 2] y) { t = MatMul(x, w) y = Add(t, b) }", constants={"w": W, "b": bias})
    assert "Add" not in result.ops
    assert result.worst_sqnr_db() > 120


@pytest.mark.parametrize(
    ("body", "bias"),
    [
        ("t = MatMul(x, w) y = Add(t, b)", RANDOM.standard_normal((2, 1)).astype(np.float32)),  # along the rows, which are as many as the columns
        ("t = MatMul(x, w) y = Add(t, b)", RANDOM.standard_normal((1, 2, 2)).astype(np.float32)),  # a value per element
        ("t = MatMul(x, w) y = Sub(t, b)", B),
        ("t = MatMul(x, w) u = Relu(t) v = Add(t, b) y = Mul(u, v)", B),  # the product is read twice
    ],
)
def test_an_addition_that_is_no_bias_stays(normalized: Normalize, body: str, bias: np.ndarray) -> None:
    result = normalized(f"(float[1, 2, 4] x) => (float[1, 2, 2] y) {{ {body} }}", constants={"w": W, "b": bias})
    assert "Gemm" in result.ops
    assert {"Add", "Sub"} & set(result.ops)
    assert result.worst_sqnr_db() > 120


def test_a_product_that_is_an_output_keeps_its_addition_apart(normalized: Normalize) -> None:
    result = normalized("(float[3, 4] x) => (float[3, 2] t, float[3, 2] y) { t = MatMul(x, w) y = Add(t, b) }", constants={"w": W, "b": B})
    assert result.ops.count("Gemm") == 1
    assert result.worst_sqnr_db() > 120


@pytest.mark.parametrize(
    "text",
    [
        "(float[1, 3, 4] x, float[4, 2] w) => (float[1, 3, 2] y) { y = MatMul(x, w) }",
        "(float[2, 3, 4] x) => (float[2, 3, 2] y) { y = MatMul(x, w3) }",
    ],
)
def test_a_product_without_one_constant_matrix_stays(normalized: Normalize, text: str) -> None:
    result = normalized(text, constants={"w3": RANDOM.standard_normal((2, 4, 2)).astype(np.float32)})
    assert result.ops == ["MatMul"]


def test_a_matrix_with_leading_ones_is_one_matrix(normalized: Normalize) -> None:
    result = normalized("(float[3, 4] x) => (float[1, 1, 3, 2] y) { y = MatMul(x, w) }", constants={"w": W[None, None]})
    assert result.ops == ["Gemm", "Reshape"]
    assert result.graph.outputs[0].shape == (1, 1, 3, 2)
    assert result.worst_sqnr_db() > 120


@pytest.mark.parametrize("shape", [(4, 3), (2, 4, 3), (1, 2, 4, 3)])
def test_a_constant_on_the_left_becomes_a_weight_too(normalized: Normalize, shape: tuple[int, ...]) -> None:
    inside = ", ".join(map(str, shape))
    result = normalized(
        f"(float[{inside}] x) => (float[{', '.join(map(str, (*shape[:-2], 2, 3)))}] y) {{ y = MatMul(w, x) }}", constants={"w": W.T.copy()}
    )
    assert "MatMul" not in result.ops
    assert result.node("MatMul_0").op_type == "Gemm"
    assert result.worst_sqnr_db() > 120


def test_integer_products_stay(normalized: Normalize) -> None:
    result = normalized("(int64[3, 4] x) => (int64[3, 2] y) { y = MatMul(x, w) }", constants={"w": np.ones((4, 2), np.int64)})
    assert result.ops == ["MatMul"]


def test_the_gemm_has_a_weight_of_two_axes(normalized: Normalize) -> None:
    result = normalized("(float[1, 3, 4] x) => (float[1, 3, 2] y) { y = MatMul(x, w) }", constants={"w": W})
    (gemm,) = (node for node in result.graph.model.graph if node.op_type == "Gemm")
    moved, weight = gemm.inputs
    assert constant(weight).shape == (4, 2)
    assert moved is not None
    assert moved.shape == ir.Shape([3, 4])
