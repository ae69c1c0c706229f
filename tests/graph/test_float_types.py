"""Models in float64, float16 and bfloat16 become float32, and the nodes are named."""

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto
from onnx_text import Normalize, constant

FLOAT16, DOUBLE = TensorProto.FLOAT16, TensorProto.DOUBLE


@pytest.mark.parametrize(("kind", "dtype", "least_db"), [("double", "float64", 120), ("float16", "float16", 55)])
def test_a_whole_model_becomes_float32(normalized: Normalize, kind: str, dtype: str, least_db: float) -> None:
    text = f"({kind}[2, 3] x) => ({kind}[2, 2] y) {{ [mm] t = MatMul(x, w) [act] y = Relu(t) }}"
    weight = np.random.default_rng(1).standard_normal((3, 2)).astype(dtype)
    result = normalized(text, constants={"w": weight})
    assert {value.dtype for node in result.graph.model.graph for value in node.outputs} == {ir.DataType.FLOAT}
    assert [spec.dtype for spec in (*result.graph.inputs, *result.graph.outputs)] == [dtype, dtype]  # as the user's file has them
    (found,) = result.graph.diagnostics
    assert found.code == "float-width"
    assert "2 nodes" in found.message
    assert "mm, act" in found.message
    assert result.worst_sqnr_db() > least_db  # what the reference itself rounds


def test_float16_weights_behind_casts_are_folded(normalized: Normalize) -> None:
    text = "(float[2, 3] x) => (float[2, 2] y) { w32 = Cast<to = 1>(w) y = MatMul(x, w32) }"
    result = normalized(text, constants={"w": np.random.default_rng(1).standard_normal((3, 2)).astype(np.float16)})
    assert result.ops == ["Gemm"]
    assert result.origin("Cast_0").status == "folded"
    assert result.worst_sqnr_db() > 120


def test_a_cast_to_double_inside_a_float32_model_disappears(normalized: Normalize) -> None:
    text = f"(float[2] x) => (float[2] y) {{ a = Neg(x) b = Cast<to = {DOUBLE}>(a) c = Relu(b) y = Cast<to = 1>(c) }}"
    result = normalized(text)
    assert result.ops == ["Neg", "Relu"]
    assert result.worst_sqnr_db() == float("inf")


def test_a_double_that_float32_cannot_hold_becomes_its_largest_value(normalized: Normalize) -> None:
    text = "(double[3] x) => (double[3] y) { y = Max(x, low) }"
    result = normalized(text, constants={"low": np.array([-1e300, -np.inf, 1e-300])})
    (low,) = result.graph.model.graph.initializers.values()
    assert constant(low).tolist() == [np.finfo(np.float32).min, -np.inf, 0.0]


@pytest.mark.parametrize(
    "text",
    [
        f"f = Cast<to = 1>(x) y = Cast<to = {DOUBLE}>(f) z = Add(x, y)",
        "y = ConstantOfShape<value = double[1] {2.0}>(s) z = Add(x, y)",
    ],
)
def test_dtypes_in_attributes_are_changed(normalized: Normalize, text: str) -> None:
    result = normalized(f"(double[2] x) => (double[2] z) {{ {text} }}", constants={"s": np.array([2])})
    assert {value.dtype for node in result.graph.model.graph for value in node.outputs} == {ir.DataType.FLOAT}


def test_integers_and_booleans_are_left_alone(normalized: Normalize) -> None:
    text = "(int64[2] x, float[2] z) => (int64[2] y, bool[2] b) { y = Add(x, x) b = Greater(z, zero) }"
    result = normalized(text, constants={"zero": np.array(0, np.float32)})
    assert [spec.dtype for spec in result.graph.outputs] == ["int64", "bool"]
    assert result.graph.diagnostics == ()
