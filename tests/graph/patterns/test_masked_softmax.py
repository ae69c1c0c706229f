"""Masks on attention scores are found from the mask's source to the softmax, biases of layers are not taken for masks."""

import numpy as np
import pytest
from recognition import Recognise

generator = np.random.default_rng(6)
X = "float[1,2,6,8] x"
Y = "float[1,2,6,6] y"
C = {
    "kt": generator.normal(size=(1, 2, 8, 6)),
    "one": 1.0,
    "zero": 0.0,
    "scale": 0.35,
    "large": -10000.0,
    "largest": float(np.finfo(np.float32).min),
    "minus_inf": -np.inf,
    "ax12": np.array([1, 2]),
    "causal": np.triu(np.full((6, 6), -1e9), 1),
    "causal_01": np.tril(np.ones((1, 2, 6, 6))),
    "shift": np.where(np.arange(6) < 3, 0.0, -100.0),
    "bias": generator.normal(size=(2, 6, 6)),
    "heads": np.array([1, 2, 6, 6]),
    "one_head": np.array([2, 6, 6]),
    "w": generator.normal(size=(6, 6)),
}
FLOAT_MASK = {"x": generator.normal(size=(1, 2, 6, 8)).astype(np.float32), "a": np.array([[1, 1, 1, 1, 0, 0]], np.float32)}
SCORES = "p = MatMul(x, kt) q = Mul(p, scale)"

MASKED = {
    "bert": (
        "n = Sub(one, a) u = Unsqueeze(n, ax12) l = Mul(u, large) " + SCORES + " s = Add(q, l) y = Softmax<axis=-1>(s)",
        f"{X}, float[1,6] a",
        "nulsy",
    ),
    "bert, mask first": (
        "n = Sub(one, a) u = Unsqueeze(n, ax12) l = Mul(large, u) " + SCORES + " s = Add(l, q) y = Softmax<axis=-1>(s)",
        f"{X}, float[1,6] a",
        "nulsy",
    ),
    "mask input": (SCORES + " s = Add(q, a) y = Softmax<axis=-1>(s)", f"{X}, float[1,1,6,6] a", "sy"),
    "torch sdpa bool": (SCORES + " l = Where(a, zero, largest) s = Add(q, l) y = Softmax<axis=-1>(s)", f"{X}, bool[1,1,6,6] a", "lsy"),
    "masked_fill": ("e = Equal(a, zero) " + SCORES + " s = Where(e, minus_inf, q) y = Softmax<axis=-1>(s)", f"{X}, float[1,1,1,6] a", "sy"),
    "causal constant": (SCORES + " s = Add(q, causal) y = Softmax<axis=-1>(s)", X, "sy"),
    "keras": (SCORES + " r = Mul(causal_01, q) s = Add(r, causal) y = Softmax<axis=-1>(s)", X, "sy"),
    "swin": (SCORES + " b = Add(q, bias) s = Add(b, shift) f = Reshape(s, one_head) g = Reshape(f, heads) y = Softmax<axis=-1>(g)", X, "sfgy"),
    "mask before bias": (SCORES + " s = Add(q, causal) b = Add(s, bias) y = Softmax<axis=-1>(b)", X, "sby"),
    "subtracted": (
        "n = Sub(one, a) u = Unsqueeze(n, ax12) l = Mul(u, large) k = Neg(l) " + SCORES + " s = Sub(q, k) y = Softmax<axis=-1>(s)",
        f"{X}, float[1,6] a",
        "nulksy",
    ),
    "scaled after the mask": ("p = MatMul(x, kt) s = Add(p, causal) q = Mul(s, scale) y = Softmax<axis=-1>(q)", X, "sqy"),
}
UNMASKED = {
    "plain": (SCORES + " y = Softmax<axis=-1>(q)", X),
    "relative position bias": (SCORES + " s = Add(q, bias) y = Softmax<axis=-1>(s)", X),
    "computed bias": (SCORES + " b = MatMul(a, w) s = Add(q, b) y = Softmax<axis=-1>(s)", f"{X}, float[1,1,6,6] a"),
    "large values behind a product": ("k = Add(x, shift8) p = MatMul(k, kt) y = Softmax<axis=-1>(p)", X),
}


@pytest.mark.parametrize("name", MASKED)
def test_all_that_handles_the_mask_is_marked(recognised: Recognise, name: str) -> None:
    body, inputs, expected = MASKED[name]
    feed = FLOAT_MASK if "float[1,6] a" in inputs else None
    outcome = recognised(body, C, inputs=inputs, outputs=Y, feed=feed)
    assert outcome.marked("masked_softmax") == set(expected)
    assert outcome.snr_db == float("inf")


@pytest.mark.parametrize("name", UNMASKED)
def test_what_a_layer_computes_is_no_mask(recognised: Recognise, name: str) -> None:
    body, inputs = UNMASKED[name]
    outcome = recognised(body, C | {"shift8": np.full(8, -1000.0)}, inputs=inputs, outputs=Y)
    assert not outcome.marked("masked_softmax")
    assert outcome.marked("softmax") == {"y"}


def test_the_guard_against_fully_masked_rows_belongs_to_it(recognised: Recognise) -> None:
    body = SCORES + " l = Where(a, zero, minus_inf) s = Add(q, l) t = Softmax<axis=-1>(s) n = IsNaN(t) y = Where(n, zero, t)"
    outcome = recognised(body, C, inputs=f"{X}, bool[1,1,6,6] a", outputs=Y)
    assert outcome.marked("masked_softmax") == set("lstny")


def test_one_mask_for_two_layers_is_marked_with_both(recognised: Recognise) -> None:
    body = """n = Sub(one, a) u = Unsqueeze(n, ax12) l = Mul(u, large) p = MatMul(x, kt) s = Add(p, l) t = Softmax<axis=-1>(s) q = MatMul(t, w) r = Add(q, l)
        y = Softmax<axis=-1>(r)"""
    outcome = recognised(body, C, inputs=f"{X}, float[1,6] a", outputs=Y, feed=FLOAT_MASK)
    assert outcome.marked("masked_softmax") == set("nulstry")


def test_a_mask_of_minus_50_is_no_problem_and_no_mask(recognised: Recognise) -> None:
    outcome = recognised(
        SCORES + " s = Add(q, shift) y = Softmax<axis=-1>(s)", C | {"shift": np.where(np.arange(6) < 3, 0.0, -50.0)}, inputs=X, outputs=Y
    )
    assert outcome.marks["y"] == "softmax"
