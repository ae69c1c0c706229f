"""Transposes that undo each other around elementwise operators."""

import numpy as np
import pytest
from onnx_text import Normalize

NHWC, NCHW = "perm = [0, 2, 3, 1]", "perm = [0, 3, 1, 2]"
X = "(float[1, 3, 4, 5] x)"
RANDOM = np.random.default_rng(14)


@pytest.mark.parametrize(
    ("body", "ops"),
    [
        (f"c = Relu(x) a = Transpose<{NHWC}>(c) b = Erf(a) d = Transpose<{NCHW}>(b) y = Neg(d)", ["Relu", "Erf", "Neg"]),
        (f"c = Relu(x) a = Transpose<{NHWC}>(c) d = Transpose<{NCHW}>(a) y = Neg(d)", ["Relu", "Neg"]),
        (
            f"c = Relu(x) a = Transpose<{NHWC}>(c) b = Erf(a) e = Mul(a, b) f = Add(e, half) d = Transpose<{NCHW}>(f) y = Neg(d)",
            ["Relu", "Erf", "Mul", "Add", "Neg"],
        ),
        (
            f"c = Relu(x) e = Abs(x) a = Transpose<{NHWC}>(c) b = Transpose<{NHWC}>(e) f = Sub(a, b) d = Transpose<{NCHW}>(f) y = Neg(d)",
            ["Relu", "Abs", "Sub", "Neg"],
        ),
        (f"c = Relu(x) a = Transpose<{NHWC}>(c) f = Mul(a, last) d = Transpose<{NCHW}>(f) y = Neg(d)", ["Relu", "Mul", "Neg"]),
        (f"c = Relu(x) a = Transpose<{NHWC}>(c) b = Erf(a) d = Transpose<{NCHW}>(b) e = Transpose<{NCHW}>(b) y = Add(d, e)", ["Relu", "Erf", "Add"]),
    ],
)
def test_they_go(normalized: Normalize, body: str, ops: list[str]) -> None:
    constants = {"half": np.float32(0.5), "last": RANDOM.standard_normal((1, 1, 1, 3)).astype(np.float32)}
    result = normalized(f"{X} => (float[1, 3, 4, 5] y) {{ {body} }}", constants=constants)
    assert result.ops == ops
    assert all(node.status in ("kept", "fused") for node in result.graph.source_nodes)
    assert result.worst_sqnr_db() > 120


@pytest.mark.parametrize(
    "body",
    [
        f"c = Relu(x) a = Transpose<{NHWC}>(c) b = Erf(a) d = Transpose<{NCHW}>(b) s = ReduceSum<keepdims = 0>(b) y = Add(d, s)",  # read in between
        f"c = Relu(x) a = Transpose<{NHWC}>(c) b = Softmax<axis = 3>(a) y = Transpose<{NCHW}>(b)",  # an operator with an axis
        f"c = Relu(x) a = Transpose<{NHWC}>(c) f = Mul(a, vector) y = Transpose<{NCHW}>(f)",  # a constant that counts axes from the end
        f"c = Relu(x) a = Transpose<{NHWC}>(c) b = Erf(a) y = Transpose<{NHWC}>(b)",  # not the inverse
    ],
)
def test_they_stay_where_something_depends_on_them(normalized: Normalize, body: str) -> None:
    result = normalized(f'{X} => (float[1, "A", "B", "C"] y) {{ {body} }}', constants={"vector": np.array([1, 2, 3], np.float32)})
    assert result.ops.count("Transpose") == 2
    assert result.worst_sqnr_db() > 120


def test_a_gelu_cut_by_transposes_is_recognised(normalized: Normalize) -> None:
    """What tf2onnx makes of Keras' GELU behind a convolution."""
    text = f"""{X} => (float[1, 3, 4, 5] y) {{
        c = Conv(x, w) h = Mul(c, half) n = Neg(c) s = Mul(n, root) a = Transpose<{NHWC}>(s) e = Erf(a) f = Sub(one, e)
        b = Transpose<{NHWC}>(h) g = Mul(b, f) y = Transpose<{NCHW}>(g)
    }}"""
    constants = {
        "w": RANDOM.standard_normal((3, 3, 1, 1)).astype(np.float32),
        "half": np.float32(0.5),
        "root": np.float32(0.7071067811865476),
        "one": np.float32(1),
    }
    result = normalized(text, opset=20, constants=constants)
    assert result.ops == ["Conv", "Gelu"]
    assert result.worst_sqnr_db() > 100


def test_an_output_between_two_inputs_keeps_its_name(normalized: Normalize) -> None:
    result = normalized(f"{X} => (float[1, 3, 4, 5] y) {{ a = Transpose<{NHWC}>(x) y = Transpose<{NCHW}>(a) }}")
    assert [spec.name for spec in result.graph.outputs] == ["y"]
    assert "Transpose" not in result.ops
    assert result.worst_sqnr_db() == float("inf")


def test_the_values_in_another_order_lose_the_users_name(normalized: Normalize) -> None:
    result = normalized(f"{X} => (float[1, 3, 4, 5] y) {{ a = Transpose<{NHWC}>(x) b = Erf(a) d = Transpose<{NCHW}>(b) y = Neg(d) }}")
    assert set(result.graph.tensor_names.values()) == {"x", "d", "y"}
    assert result.worst_sqnr_db() > 120
