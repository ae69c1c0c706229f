"""Every spelling of a GELU becomes Gelu; a function with other constants does not."""

import itertools

import numpy as np
import pytest
from recognition import Recognise

from bridge.graph import provenance

C = {
    "one": 1.0,
    "half": 0.5,
    "two": 2.0,
    "three": 3.0,
    "root2": np.sqrt(2.0),
    "per_root2": np.sqrt(0.5),
    "minus_per_root2": -np.sqrt(0.5),
    "k": 0.044715,
    "c": np.sqrt(2.0 / np.pi),
    "two_c": 2.0 * np.sqrt(2.0 / np.pi),
    "ck": 0.044715 * np.sqrt(2.0 / np.pi),
    "rounded_root2": 1.4142,
    "rounded_per_root2": 0.7071,
    "rounded_c": 0.79788,
    "coarse_root2": 1.414,
    "one_3d": np.ones((1, 1, 1)),
}
LIKE_ROUNDING_DB = 120.0  # the erf of onnxruntime's Gelu and its Erf agree to float32
ROUNDED_DB = 90.0  # a constant that is 1e-5 off moves the output by as much: -100 dB

INSIDE_ERF = {"div": "u = Div(x, root2)", "mul": "u = Mul(x, per_root2)", "mul_swapped": "u = Mul(per_root2, x)"}
ERF = {
    "add": "e = Erf(u) w = Add(e, one)",
    "add_swapped": "e = Erf(u) w = Add(one, e)",
    "add_3d": "e = Erf(u) w = Add(e, one_3d)",
    "erfc": "n = Neg(u) e = Erf(n) w = Sub(one, e)",  # Keras: Erfc(-u)
    "minus_erf": "n = Neg(u) e = Erf(n) n1 = Neg(e) w = Add(n1, one)",
}
INSIDE_TANH = {
    "pow": "p = Pow(x, three) q = Mul(p, k) s = Add(x, q) u = Mul(s, c)",
    "mul_mul": "xx = Mul(x, x) p = Mul(x, xx) q = Mul(k, p) s = Add(x, q) u = Mul(c, s)",
    "square_times_x": "xx = Pow(x, two) p = Mul(xx, x) q = Mul(p, k) s = Add(q, x) u = Mul(s, c)",
    "flax": "kx = Mul(k, x) xx = Mul(x, kx) p = Mul(x, xx) s = Add(x, p) u = Mul(c, s)",
    "factored": "xx = Mul(x, x) q = Mul(xx, k) s = Add(q, one) t = Mul(x, s) u = Mul(t, c)",
    "factored_constants_folded": "xx = Mul(x, x) q = Mul(xx, ck) s = Add(q, c) u = Mul(s, x)",
    "spread": "cx = Mul(x, c) p = Pow(x, three) q = Mul(p, ck) u = Add(cx, q)",
}
TANH = {"add": "e = Tanh(u) w = Add(e, one)", "add_swapped": "e = Tanh(u) w = Add(one, e)"}
OUTSIDE = {
    "half_last": "b = Mul(x, w) y = Mul(b, half)",
    "half_last_swapped": "b = Mul(w, x) y = Mul(half, b)",
    "half_first": "b = Mul(x, half) y = Mul(b, w)",
    "half_first_swapped": "b = Mul(half, x) y = Mul(w, b)",
    "half_on_gate": "b = Mul(half, w) y = Mul(x, b)",
    "div_two": "b = Mul(x, w) y = Div(b, two)",
    "x_div_two": "b = Div(x, two) y = Mul(b, w)",
}
ERF_SPELLINGS = [" ".join(parts) for parts in itertools.product(INSIDE_ERF.values(), ERF.values(), OUTSIDE.values())]
TANH_SPELLINGS = [" ".join(parts) for parts in itertools.product(INSIDE_TANH.values(), TANH.values(), OUTSIDE.values())]
OTHERS = {
    "argument times one": ("z = Mul(x, one) u = Div(z, root2) e = Erf(u) w = Add(e, one) b = Mul(x, w) y = Mul(b, half)", "none"),
    "times one": ("u = Div(x, root2) e = Erf(u) w = Add(e, one) b = Mul(x, w) a = Mul(b, half) y = Mul(a, one)", "none"),
    "gate is 0.5 + 0.5 erf": ("u = Div(x, root2) e = Erf(u) f = Mul(e, half) w = Add(f, half) y = Mul(x, w)", "none"),
    "two products": ("u = Div(x, root2) e = Erf(u) a = Mul(x, half) b = Mul(a, e) y = Add(a, b)", "none"),
    "x minus x erfc": ("u = Mul(x, per_root2) e = Erf(u) w = Sub(one, e) a = Mul(x, w) b = Mul(a, half) y = Sub(x, b)", "none"),
    "folded minus": ("u = Mul(x, minus_per_root2) e = Erf(u) w = Sub(one, e) b = Mul(x, w) y = Mul(b, half)", "none"),
    "sigmoid": ("xx = Mul(x, x) q = Mul(xx, k) s = Add(q, one) t = Mul(x, s) u = Mul(t, two_c) w = Sigmoid(u) y = Mul(x, w)", "tanh"),
    "exp": (
        "xx = Mul(x, x) q = Mul(xx, k) s = Add(q, one) t = Mul(x, s) u = Mul(t, two_c) n = Neg(u) e = Exp(n) w = Add(e, one) y = Div(x, w)",
        "tanh",
    ),
}


@pytest.mark.parametrize("body", ERF_SPELLINGS)
def test_any_order_of_the_erf_form_becomes_one_operator(recognised: Recognise, body: str) -> None:
    outcome = recognised(body, C)
    assert outcome.ops == ["Gelu"]
    assert outcome.node("Gelu").attributes["approximate"].as_string() == "none"
    assert outcome.snr_db >= LIKE_ROUNDING_DB


@pytest.mark.parametrize("body", TANH_SPELLINGS)
def test_any_order_of_the_tanh_form_becomes_one_operator(recognised: Recognise, body: str) -> None:
    outcome = recognised(body, C)
    assert outcome.ops == ["Gelu"]
    assert outcome.node("Gelu").attributes["approximate"].as_string() == "tanh"
    assert outcome.snr_db >= LIKE_ROUNDING_DB


@pytest.mark.parametrize("name", OTHERS)
def test_forms_that_are_equal_by_algebra_become_one_operator(recognised: Recognise, name: str) -> None:
    body, approximate = OTHERS[name]
    outcome = recognised(body, C)
    assert outcome.ops == ["Gelu"]
    assert outcome.node("Gelu").attributes["approximate"].as_string() == approximate
    assert outcome.snr_db >= LIKE_ROUNDING_DB


def test_the_operator_stands_for_all_nodes_under_the_name_of_the_last(recognised: Recognise) -> None:
    node = recognised("u = Div(x, root2) e = Erf(u) w = Add(e, one) b = Mul(x, w) y = Mul(b, half)", C).node("Gelu")
    assert provenance.name(node) == node.name == "make_y"
    assert provenance.origins(node) == ("make_u", "make_e", "make_w", "make_b", "make_y")
    assert provenance.pattern(node) == "gelu"


def test_the_argument_may_itself_be_a_scaled_tensor(recognised: Recognise) -> None:
    outcome = recognised("z = Mul(x, two) u = Div(z, root2) e = Erf(u) w = Add(e, one) b = Mul(z, w) y = Mul(b, half)", C)
    assert outcome.ops == ["Mul", "Gelu"]
    assert outcome.snr_db >= LIKE_ROUNDING_DB


def test_two_in_a_row_are_two_operators(recognised: Recognise) -> None:
    outcome = recognised(
        "u = Div(x, root2) e = Erf(u) w = Add(e, one) b = Mul(x, w) z = Mul(b, half) u2 = Div(z, root2) e2 = Erf(u2) w2 = Add(e2, one) b2 = Mul(z, w2) y = Mul(b2, half)",
        C,
    )
    assert outcome.ops == ["Gelu", "Gelu"]


def test_the_argument_may_be_the_output_of_another_activation(recognised: Recognise) -> None:
    outcome = recognised("z = Tanh(x) u = Div(z, root2) e = Erf(u) w = Add(e, one) b = Mul(z, w) y = Mul(b, half)", C)
    assert outcome.ops == ["Tanh", "Gelu"]


def test_rounded_literals_are_fused(recognised: Recognise) -> None:
    outcome = recognised("u = Div(x, rounded_root2) e = Erf(u) w = Add(e, one) b = Mul(x, w) y = Mul(b, half)", C)
    assert outcome.ops == ["Gelu"]
    assert outcome.snr_db >= ROUNDED_DB
    outcome = recognised("u = Mul(x, rounded_per_root2) e = Erf(u) w = Add(e, one) b = Mul(x, w) y = Mul(b, half)", C)
    assert outcome.ops == ["Gelu"]
    assert outcome.snr_db >= ROUNDED_DB


def test_a_coarse_literal_is_marked_but_kept(recognised: Recognise) -> None:
    outcome = recognised("u = Div(x, coarse_root2) e = Erf(u) w = Add(e, one) b = Mul(x, w) y = Mul(b, half)", C)
    assert outcome.marks == dict.fromkeys("uewby", "gelu")
    assert outcome.snr_db == float("inf")


@pytest.mark.parametrize("inner", ["u", "e", "w", "b"])
def test_an_inner_value_that_is_an_output_stays_beside_the_operator(recognised: Recognise, inner: str) -> None:
    outcome = recognised(
        "u = Div(x, root2) e = Erf(u) w = Add(e, one) b = Mul(x, w) y = Mul(b, half)", C, outputs=f"float[2,6,8] y, float[2,6,8] {inner}"
    )
    assert outcome.ops == [*["Div", "Erf", "Add", "Mul"][: "uewb".index(inner) + 1], "Gelu"]
    assert set(outcome.marks.values()) == {"gelu"}
    assert outcome.snr_db >= LIKE_ROUNDING_DB


def test_an_inner_value_with_another_reader_stays_beside_the_operator(recognised: Recognise) -> None:
    outcome = recognised("u = Div(x, root2) e = Erf(u) w = Add(e, one) b = Mul(x, w) z = Mul(b, half) r = Relu(e) y = Add(z, r)", C)
    assert outcome.ops == ["Div", "Erf", "Gelu", "Relu", "Add"]
    assert provenance.origins(outcome.node("Gelu")) == ("make_w", "make_b", "make_z")
    assert outcome.snr_db >= LIKE_ROUNDING_DB


def test_below_opset_20_every_node_is_marked(recognised: Recognise) -> None:
    outcome = recognised("u = Div(x, root2) e = Erf(u) w = Add(e, one) b = Mul(x, w) y = Mul(b, half)", C, opset=19)
    assert outcome.marks == dict.fromkeys("uewby", "gelu")


def test_the_operator_itself_is_marked(recognised: Recognise) -> None:
    assert recognised('y = Gelu<approximate="tanh">(x)').marks == {"y": "gelu"}


NEAR_MISSES = {
    "another slope": "u = Div(x, two) e = Erf(u) w = Add(e, one) b = Mul(x, w) y = Mul(b, half)",
    "slope half a percent off": "u = Div(x, off) e = Erf(u) w = Add(e, one) b = Mul(x, w) y = Mul(b, half)",
    "another offset": "u = Div(x, root2) e = Erf(u) w = Add(e, two) b = Mul(x, w) y = Mul(b, half)",
    "another factor": "u = Div(x, root2) e = Erf(u) w = Add(e, one) b = Mul(x, w) y = Mul(b, two)",
    "no factor": "u = Div(x, root2) e = Erf(u) w = Add(e, one) y = Mul(x, w)",
    "1 - erf": "u = Div(x, root2) e = Erf(u) w = Sub(one, e) b = Mul(x, w) y = Mul(b, half)",
    "erf - 1": "u = Div(x, root2) e = Erf(u) w = Sub(e, one) b = Mul(x, w) y = Mul(b, half)",
    "gate of another tensor": "z = Relu(x) u = Div(z, root2) e = Erf(u) w = Add(e, one) b = Mul(x, w) y = Mul(b, half)",
    "x times x": "u = Div(x, root2) e = Erf(u) w = Add(e, one) xx = Mul(x, x) b = Mul(xx, w) y = Mul(b, half)",
    "tanh without the cube": "u = Mul(x, c) e = Tanh(u) w = Add(e, one) b = Mul(x, w) y = Mul(b, half)",
    "tanh with the square": "p = Pow(x, two) q = Mul(p, k) s = Add(x, q) u = Mul(s, c) e = Tanh(u) w = Add(e, one) b = Mul(x, w) y = Mul(b, half)",
    "tanh with another cube": "p = Pow(x, three) q = Mul(p, half) s = Add(x, q) u = Mul(s, c) e = Tanh(u) w = Add(e, one) b = Mul(x, w) y = Mul(b, half)",
    "tanh of the erf constants": "u = Div(x, root2) e = Tanh(u) w = Add(e, one) b = Mul(x, w) y = Mul(b, half)",
    "erf of the tanh constants": "p = Pow(x, three) q = Mul(p, k) s = Add(x, q) u = Mul(s, c) e = Erf(u) w = Add(e, one) b = Mul(x, w) y = Mul(b, half)",
    "factors per channel": "u = Div(x, root2) e = Erf(u) w = Add(e, one) b = Mul(x, w) y = Mul(b, halves)",
}


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_a_near_miss_is_left_alone(recognised: Recognise, name: str) -> None:
    outcome = recognised(NEAR_MISSES[name], C | {"off": 1.005 * np.sqrt(2.0), "halves": np.full(8, 0.5)})
    assert "Gelu" not in outcome.ops
    assert not outcome.marked("gelu")
    assert outcome.snr_db == float("inf")
