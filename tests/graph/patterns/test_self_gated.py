"""SiLU, Mish and HardSwish are marked node by node, whatever they are made of."""

import numpy as np
import pytest
from recognition import Recognise

C = {
    "one": 1.0,
    "half": 0.5,
    "three": 3.0,
    "six": 6.0,
    "sixth": 1 / 6,
    "zero": 0.0,
    "beta": 1.5,
    "quick": 1.702,
    "minus": -1.0,
    "fifth": 0.2,
    "five": 5.0,
}

SPELLINGS = {
    "silu": ("s = Sigmoid(x) y = Mul(x, s)", "silu"),
    "silu swapped": ("s = Sigmoid(x) y = Mul(s, x)", "silu"),
    "silu by exp": ("n = Neg(x) e = Exp(n) d = Add(e, one) y = Div(x, d)", "silu"),
    "silu by exp and reciprocal": ("n = Mul(x, minus) e = Exp(n) d = Add(one, e) r = Reciprocal(d) y = Mul(x, r)", "silu"),
    "swish with beta": ("z = Mul(x, beta) s = Sigmoid(z) y = Mul(x, s)", "silu"),
    "swish with beta 1 (Keras)": ("z = Mul(one, x) s = Sigmoid(z) y = Mul(x, s)", "silu"),
    "sigmoid approximation of GELU": ("z = Mul(x, quick) s = Sigmoid(z) y = Mul(x, s)", "gelu"),
    "mish": ("p = Softplus(x) t = Tanh(p) y = Mul(x, t)", "mish"),
    "mish operator": ("y = Mish(x)", "mish"),
    "hard swish": ("a = Add(x, three) c = Clip(a, zero, six) b = Mul(x, c) y = Div(b, six)", "hard_swish"),
    "hard swish, gate first": ("a = Add(x, three) c = Clip(a, zero, six) b = Mul(c, sixth) y = Mul(x, b)", "hard_swish"),
    "hard swish by hard sigmoid": ("h = HardSigmoid<alpha=0.16666667, beta=0.5>(x) y = Mul(x, h)", "hard_swish"),
    "hard swish operator": ("y = HardSwish(x)", "hard_swish"),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_node_of_a_spelling_is_marked(recognised: Recognise, name: str) -> None:
    body, pattern = SPELLINGS[name]
    outcome = recognised(body, C)
    assert set(outcome.marks.values()) == {pattern}
    assert outcome.snr_db == float("inf")


def test_a_factor_behind_it_is_not_part_of_it(recognised: Recognise) -> None:
    assert recognised("s = Sigmoid(x) z = Mul(x, s) y = Mul(z, half)", C).marks == {"s": "silu", "z": "silu", "y": None}


def test_a_gate_with_other_readers_is_marked(recognised: Recognise) -> None:
    outcome = recognised("s = Sigmoid(x) z = Mul(x, s) y = Add(z, s)", C)
    assert outcome.marked("silu") == {"s", "z"}


NEAR_MISSES = {
    "gated linear unit": "a, b = Split<axis=1, num_outputs=2>(x) s = Sigmoid(b) z = Mul(a, s) y = Concat<axis=1>(z, z)",
    "squeeze and excite": "p = GlobalAveragePool(x) s = Sigmoid(p) y = Mul(x, s)",
    "falling": "n = Neg(x) s = Sigmoid(n) y = Mul(x, s)",
    "shifted": "a = Add(x, one) s = Sigmoid(a) y = Mul(x, s)",
    "sum": "s = Sigmoid(x) y = Add(x, s)",
    "tanh": "s = Tanh(x) y = Mul(x, s)",
    "another clip": "a = Add(x, three) c = Clip(a, zero, five) b = Mul(x, c) y = Div(b, five)",
    "another hard sigmoid": "h = HardSigmoid<alpha=0.2, beta=0.5>(x) y = Mul(x, h)",
    "clip of another tensor": "z = Relu(x) a = Add(z, three) c = Clip(a, zero, six) b = Mul(x, c) y = Div(b, six)",
    "mish of a scaled gate": "p = Softplus(x) h = Mul(p, half) t = Tanh(h) y = Mul(x, t)",
}


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_a_near_miss_is_left_alone(recognised: Recognise, name: str) -> None:
    outcome = recognised(NEAR_MISSES[name], C)
    assert not {"silu", "mish", "hard_swish"} & set(outcome.marks.values())
    np.testing.assert_array_equal(outcome.before[0], outcome.after[0])
