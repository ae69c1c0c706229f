"""Spelled-out softmaxes become Softmax; others are marked."""

import numpy as np
import pytest
from recognition import Recognise

from bridge.graph import provenance

C = {"last": np.array([-1]), "ax": np.array([1]), "kept": np.array([2, 6, 1]), "minus_inf": -np.inf, "half": 0.5, "both": np.array([1, 2])}
SPELLINGS = {
    "plain": "m = ReduceMax(x, last) d = Sub(x, m) e = Exp(d) s = ReduceSum(e, last) y = Div(e, s)",
    "without the maximum": "e = Exp(x) s = ReduceSum(e, last) y = Div(e, s)",
    "reciprocal": "m = ReduceMax(x, last) d = Sub(x, m) e = Exp(d) s = ReduceSum(e, last) r = Reciprocal(s) y = Mul(r, e)",
    "jax": """m = ReduceMax<keepdims=0>(x, last) n = Max(minus_inf, m) k = Reshape(n, kept) d = Sub(x, k) e = Exp(d) s = ReduceSum<keepdims=0>(e, last)
        t = Reshape(s, kept) y = Div(e, t)""",
    "another axis": "m = ReduceMax(x, ax) d = Sub(x, m) e = Exp(d) s = ReduceSum(e, ax) y = Div(e, s)",
}
NEAR_MISSES = {
    "sum over two axes": "e = Exp(x) s = ReduceSum(e, both) y = Div(e, s)",
    "sum of another tensor": "e = Exp(x) f = Mul(e, half) s = ReduceSum(f, last) y = Div(e, s)",
    "mean": "e = Exp(x) s = ReduceMean(e, last) y = Div(e, s)",
    "no exponential": "e = Abs(x) s = ReduceSum(e, last) y = Div(e, s)",
    "upside down": "e = Exp(x) s = ReduceSum(e, last) y = Div(s, e)",
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_spelled_out_softmax_becomes_one_operator(recognised: Recognise, name: str) -> None:
    outcome = recognised(SPELLINGS[name], C)
    assert outcome.ops == ["Softmax"]
    assert outcome.marks == {"y": "softmax"}
    assert provenance.name(outcome.node("Softmax")) == "make_y"
    assert outcome.snr_db >= 120.0  # float32 rounding


def test_a_maximum_over_another_axis_changes_nothing_but_stays(recognised: Recognise) -> None:
    # exp(x - c) / sum(exp(x - c)) equals softmax(x - c) for any c
    outcome = recognised("m = ReduceMax(x, ax) d = Sub(x, m) e = Exp(d) s = ReduceSum(e, last) y = Div(e, s)", C)
    assert outcome.ops == ["ReduceMax", "Sub", "Softmax"]
    assert outcome.snr_db >= 120.0


def test_an_exponential_with_another_reader_is_only_marked(recognised: Recognise) -> None:
    outcome = recognised("m = ReduceMax(x, last) d = Sub(x, m) e = Exp(d) s = ReduceSum(e, last) z = Div(e, s) y = Add(z, e)", C)
    assert "Softmax" not in outcome.ops
    assert outcome.marked("softmax") == set("mdesz")


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
def test_the_operator_is_marked(recognised: Recognise, op: str) -> None:
    assert recognised(f"y = {op}<axis=-1>(x)").marks == {"y": "softmax"}


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_a_near_miss_is_left_alone(recognised: Recognise, name: str) -> None:
    outcome = recognised(NEAR_MISSES[name], C)
    assert "Softmax" not in outcome.ops
    assert not outcome.marked("softmax")
