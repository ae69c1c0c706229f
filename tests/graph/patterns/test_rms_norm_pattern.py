"""RMS norms and length norms are marked as regions."""

import numpy as np
import pytest
from recognition import Recognise

generator = np.random.default_rng(4)
C = {
    "last": np.array([-1]),
    "two": 2.0,
    "half": 0.5,
    "one": 1.0,
    "minus_half": -0.5,
    "n": 8.0,
    "eps": np.float32(1e-6),
    "g": generator.normal(1, 0.3, 8),
    "whole": np.array([2, 6, 8]),
}
SPELLINGS = {
    "torch": "q = Pow(x, two) v = ReduceMean(q, last) o = Add(v, eps) r = Sqrt(o) i = Reciprocal(r) h = Mul(x, i) y = Mul(g, h)",
    "torch_script": "q = Pow(x, two) v = ReduceMean(q, last) o = Add(v, eps) r = Sqrt(o) i = Div(one, r) h = Mul(x, i) y = Mul(g, h)",
    "division": "q = Mul(x, x) v = ReduceMean(q, last) o = Add(eps, v) r = Sqrt(o) h = Div(x, r) y = Mul(h, g)",
    "pow": "q = Mul(x, x) s = ReduceSum(q, last) v = Div(s, n) o = Add(v, eps) i = Pow(o, minus_half) h = Mul(i, x) y = Mul(h, g)",
    "sum_square": "s = ReduceSumSquare(x, last) v = Div(s, n) o = Add(v, eps) r = Pow(o, half) y = Div(x, r)",
    "keras": "q = Mul(x, x) v = GlobalAveragePool(q) o = Add(v, eps) r = Sqrt(o) i = Reciprocal(r) j = Mul(i, g) y = Mul(x, j)",
}
LENGTHS = {
    "torch": "s = ReduceL2(x, last) o = Clip(s, eps) e = Expand(o, whole) y = Div(x, e)",
    "keras": "q = Mul(x, x) s = ReduceSum(q, last) o = Max(s, eps) r = Sqrt(o) i = Reciprocal(r) y = Mul(x, i)",
    "operator": "y = LpNormalization<axis=-1>(x)",
}
NEAR_MISSES = {
    "of another tensor": "z = Relu(x) q = Mul(z, z) v = ReduceMean(q, last) o = Add(v, eps) r = Sqrt(o) y = Div(x, r)",
    "no root": "q = Mul(x, x) v = ReduceMean(q, last) o = Add(v, eps) y = Div(x, o)",
    "times the root": "q = Mul(x, x) v = ReduceMean(q, last) o = Add(v, eps) r = Sqrt(o) y = Mul(x, r)",
    "mean of absolutes": "q = Abs(x) v = ReduceMean(q, last) o = Add(v, eps) r = Sqrt(o) y = Div(x, r)",
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_node_of_a_spelling_is_marked(recognised: Recognise, name: str) -> None:
    outcome = recognised(SPELLINGS[name], C)
    assert set(outcome.marks.values()) == {"rms_norm"}
    assert outcome.snr_db == float("inf")


@pytest.mark.parametrize("name", LENGTHS)
def test_division_by_the_length_has_a_name_of_its_own(recognised: Recognise, name: str) -> None:
    outcome = recognised(LENGTHS[name], C)
    assert set(outcome.marks.values()) == {"l2_norm"}


def test_a_length_norm_with_a_scale_is_an_rms_norm(recognised: Recognise) -> None:
    outcome = recognised("s = ReduceL2(x, last) o = Clip(s, eps) h = Div(x, o) y = Mul(h, g)", C)
    assert set(outcome.marks.values()) == {"rms_norm"}


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_a_near_miss_is_left_alone(recognised: Recognise, name: str) -> None:
    assert not {"rms_norm", "l2_norm"} & set(recognised(NEAR_MISSES[name], C).marks.values())
