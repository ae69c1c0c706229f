"""LayerNorm over the channels of an image."""

import numpy as np
import pytest
from onnx_text import Normalize

RANDOM = np.random.default_rng(15)
# Keras' spelling: x * (scale / root) + (-mean) * (scale / root) + bias
KERAS = """m = ReduceMean<axes = [1]>(c) n = Neg(m) d = Sub(c, m) q = Mul(d, d) v = ReduceMean<axes = [1]>(q) e = Add(v, eps) s = Sqrt(e)
    i = Reciprocal(s) u = Mul(i, g) a = Mul(c, u) k = Mul(n, u) o = Add(a, k) y = Add(o, b)"""
PLAIN = """m = ReduceMean<axes = [1]>(c) d = Sub(c, m) q = Mul(d, d) v = ReduceMean<axes = [1]>(q) e = Add(v, eps) s = Sqrt(e) y = Div(d, s)"""


def constants(channels: int, *, spatial: tuple[int, int] = (1, 1)) -> dict[str, np.ndarray]:
    return {
        "g": RANDOM.standard_normal((1, channels, *spatial)).astype(np.float32),
        "b": RANDOM.standard_normal((channels, 1, 1)).astype(np.float32),
        "eps": np.array(1e-3, np.float32),
    }


@pytest.mark.parametrize("shape", ["1, 6, 5, 4", "2, 8, 8, 8"])
@pytest.mark.parametrize("body", [KERAS, PLAIN], ids=["keras", "plain"])
def test_it_becomes_the_operator_between_transposes(normalized: Normalize, shape: str, body: str) -> None:
    channels = int(shape.split(", ")[1])
    result = normalized(f"(float[{shape}] x) => (float[{shape}] y) {{ c = Relu(x) {body} }}", constants=constants(channels))
    assert result.ops == ["Relu", "Transpose", "LayerNormalization", "Transpose"]
    assert result.graph.nodes[1].patterns == ("layer_norm",)
    assert len(result.graph.nodes) == 2
    assert result.worst_sqnr_db() > 110


@pytest.mark.parametrize("case", ["scale by pixel", "read elsewhere", "a vector"])
def test_other_norms_stay(normalized: Normalize, case: str) -> None:
    shape, body, extra = "1, 6, 5, 4", KERAS, ""
    given = constants(6, spatial=(5, 4)) if case == "scale by pixel" else constants(6)
    if case == "read elsewhere":
        body, extra = KERAS.replace("y = Add(o, b)", "z = Add(o, b) y = Mul(z, d)"), ""
    if case == "a vector":
        shape = "2, 6, 1, 1"
    result = normalized(f"(float[{shape}] x) => (float[{shape}] y) {{ c = Relu(x) {body} {extra} }}", constants=given)
    assert "Transpose" not in result.ops
    assert result.worst_sqnr_db() > 110
