"""Residual sums of transformer blocks are told from those of convolutional blocks and from other sums."""

import numpy as np
import pytest
from recognition import Recognise

generator = np.random.default_rng(7)


def weights(*shape: int) -> np.ndarray:
    return generator.normal(0, 0.3, shape)


C = {
    "g": weights(8),
    "w1": weights(8, 16),
    "b1": weights(16),
    "w2": weights(16, 8),
    "wq": weights(8, 8),
    "wk": weights(8, 8),
    "wo": weights(8, 8),
    "conv": weights(4, 4, 3, 3),
    "pw1": weights(8, 4, 1, 1),
    "pw2": weights(4, 8, 1, 1),
    "dw": weights(4, 1, 3, 3),
    "half": 0.5,
    "alpha": 2.0,
    "position": weights(1, 6, 8),
    "rows": np.array([6, 8]),
    "whole": np.array([1, 6, 8]),
}
X = "float[1,6,8] x"
ATTENTION = "{0}q = MatMul({1}, wq) {0}k = MatMul({1}, wk) {0}t = Transpose<perm=[0,2,1]>({0}k) {0}s = MatMul({0}q, {0}t) {0}p = Softmax<axis=-1>({0}s) {0}a = MatMul({0}p, {1}) {0}o = MatMul({0}a, wo)"
FEED_FORWARD = "{0}h = MatMul({1}, w1) {0}i = Add({0}h, b1) {0}r = Relu({0}i) {0}f = MatMul({0}r, w2)"

BLOCKS = {
    "pre-norm": f"n = LayerNormalization(x, g) {ATTENTION.format('a', 'n')} z = Add(x, ao) m = LayerNormalization(z, g) {FEED_FORWARD.format('f', 'm')} y = Add(ff, z)",
    "post-norm": f"{ATTENTION.format('a', 'x')} z = Add(ao, x) m = LayerNormalization(z, g) {FEED_FORWARD.format('f', 'm')} y = Add(m, ff) w = LayerNormalization(y, g)",
    "half feed-forward (Conformer)": f"n = LayerNormalization(x, g) {FEED_FORWARD.format('f', 'n')} e = Mul(ff, half) y = Add(x, e)",
    "scaled skip (DeepNorm)": f"{ATTENTION.format('a', 'x')} e = Mul(x, alpha) z = Add(e, ao) m = LayerNormalization(z, g) y = Relu(m)",
    "Gemm over flattened tokens": "n = LayerNormalization(x, g) r = Reshape(n, rows) h = Gemm(r, w1, b1) i = Gelu(h) f = Gemm(i, w2) e = Reshape(f, whole) y = Add(x, e)",
    "rms norm": f"q = Mul(x, x) v = ReduceMean(q, last) o = Add(v, eps) r = Sqrt(o) n = Div(x, r) {FEED_FORWARD.format('f', 'n')} y = Add(x, ff)",
}
EXPECTED = {"pre-norm": "zy", "post-norm": "zy", "scaled skip (DeepNorm)": "z"}


@pytest.mark.parametrize("name", BLOCKS)
def test_the_residual_stream_of_a_transformer_block_is_marked(recognised: Recognise, name: str) -> None:
    outputs = "float[1,6,8] w" if " w = " in BLOCKS[name] else None
    outcome = recognised(BLOCKS[name], C | {"last": np.array([-1]), "eps": 1e-6}, inputs=X, outputs=outputs)
    assert outcome.marked("residual_add") == set(EXPECTED.get(name, "y"))


def test_the_block_may_be_written_with_convolutions_of_single_pixels(recognised: Recognise) -> None:
    body = """t = Transpose<perm=[0,2,3,1]>(x) n = LayerNormalization(t, g4) u = Transpose<perm=[0,3,1,2]>(n) h = Conv(u, pw1) d = Gelu(h) f = Conv(d, pw2) y = Add(x, f)"""
    assert recognised(body, C | {"g4": weights(4)}, inputs="float[1,4,5,5] x").marked("residual_add") == {"y"}


CNN = {
    "resnet": "a = Conv<pads=[1,1,1,1]>(x, conv) r = Relu(a) b = Conv<pads=[1,1,1,1]>(r, conv) y = Add(x, b)",
    "inverted residual": "a = Conv(x, pw1) r = Relu(a) b = Conv(r, pw2) y = Add(b, x)",
    "squeeze and excite": "a = Conv<pads=[1,1,1,1]>(x, conv) p = GlobalAveragePool(a) r = Conv(p, pw1) s = Relu(r) e = Conv(s, pw2) h = Sigmoid(e) b = Mul(a, h) y = Add(x, b)",
    "convolutions before a norm": """a = Conv(x, pw1) r = Relu(a) b = Conv(r, pw2) c = Conv<pads=[1,1,1,1]>(b, conv) z = Add(x, c) t = Transpose<perm=[0,2,3,1]>(z)
        y = LayerNormalization(t, g4)""",
}


@pytest.mark.parametrize("name", CNN)
def test_a_residual_sum_of_convolutions_has_a_name_of_its_own(recognised: Recognise, name: str) -> None:
    outputs = "float[1,5,5,4] y" if "norm" in name else None
    outcome = recognised(CNN[name], C | {"g4": weights(4)}, inputs="float[1,4,5,5] x", outputs=outputs)
    assert outcome.marked("cnn_residual_add") == {"z" if "norm" in name else "y"}
    assert not outcome.marked("residual_add")


OTHERS = {
    "position embedding": f"z = Add(x, position) n = LayerNormalization(z, g) {FEED_FORWARD.format('f', 'n')} y = Relu(ff)",
    "no norm": f"{FEED_FORWARD.format('f', 'x')} y = Add(x, ff)",
    "one product": "n = LayerNormalization(x, g) f = MatMul(n, wo) y = Add(x, f)",
    "two branches": f"n = LayerNormalization(x, g) {FEED_FORWARD.format('f', 'n')} r = MatMul(n, wo) y = Add(r, ff)",
    "gate": f"n = LayerNormalization(x, g) {FEED_FORWARD.format('f', 'n')} y = Mul(x, ff)",
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_sums_are_left_alone(recognised: Recognise, name: str) -> None:
    outcome = recognised(OTHERS[name], C, inputs=X)
    assert not {"residual_add", "cnn_residual_add"} & set(outcome.marks.values())


def test_the_other_input_of_a_decoder_is_not_taken_for_its_branch(recognised: Recognise) -> None:
    # the encoder runs after the first decoder node, longer than any block
    encoder = " ".join(f"e{i + 1} = Relu(e{i})" for i in range(600))
    body = f"d = Relu(x) n = LayerNormalization(d, g) e0 = Abs(c) {encoder} q = MatMul(n, wq) t = Transpose<perm=[0,2,1]>(e600) s = MatMul(q, t) p = Softmax<axis=-1>(s) a = MatMul(p, e600) y = Add(d, a)"
    outcome = recognised(body, C, inputs=f"{X}, float[1,6,8] c", outputs="float[1,6,8] y")
    assert outcome.marked("residual_add") == {"y"}
