"""Every spelling of a layer normalisation becomes LayerNormalization or a marked region; nothing else does."""

import itertools
import random
import re

import numpy as np
import pytest
from onnx_text import constant
from recognition import Recognise

from bridge.graph import provenance

generator = np.random.default_rng(3)
C = {
    "last": np.array([-1]),
    "two": 2.0,
    "half": 0.5,
    "minus_half": -0.5,
    "minus_one": -1.0,
    "one": 1.0,
    "zero": 0.0,
    "n": 8.0,
    "per_n": 1 / 8,
    "eps": np.float32(1e-3),
    "g": generator.normal(1, 0.3, 8),
    "b": generator.normal(0, 0.3, 8),
    "g3": generator.normal(1, 0.3, (1, 1, 8)),
    "b3": generator.normal(0, 0.3, (1, 1, 8)),
}
# Both sides are float32 and differ in the order of sums only; mean(x^2) - mean(x)^2 cancels up to 2 digits here.
LIKE_ROUNDING_DB = 100.0

MEANS = {
    "mean": "m = ReduceMean(x, last)",
    "sum_div": "s = ReduceSum(x, last) m = Div(s, n)",
    "sum_mul": "s = ReduceSum(x, last) m = Mul(per_n, s)",
    "pool": "m = GlobalAveragePool(x)",  # tf2onnx, for rank 3
}
DEVIATIONS = {"sub": "d = Sub(x, m)", "add_neg": "k = Neg(m) d = Add(k, x)"}
VARIANCES = {
    "mul": "q = Mul(d, d) v = ReduceMean(q, last)",
    "pow": "q = Pow(d, two) v = ReduceMean(q, last)",
    "pow_pool": "q = Pow(d, two) v = GlobalAveragePool(q)",
    "sum_square": "q = ReduceSumSquare(d, last) v = Div(q, n)",
    "two_subs": "e = Sub(x, m) q = Mul(d, e) v = ReduceMean(q, last)",
    "moments": "xx = Mul(x, x) q = ReduceMean(xx, last) mm = Mul(m, m) v = Sub(q, mm)",
    "moments_pow": "xx = Pow(x, two) q = ReduceMean(xx, last) mm = Pow(m, two) w = Sub(q, mm) v = Max(w, zero)",
}
QUOTIENTS = {
    "sqrt_div": "o = Add(v, eps) r = Sqrt(o) h = Div(d, r)",
    "sqrt_reciprocal": "o = Add(v, eps) r = Sqrt(o) i = Reciprocal(r) h = Mul(d, i)",
    "sqrt_one_over": "o = Add(eps, v) r = Sqrt(o) i = Div(one, r) h = Mul(i, d)",
    "pow_minus_half": "o = Add(v, eps) i = Pow(o, minus_half) h = Mul(d, i)",
    "pow_half": "o = Add(v, eps) r = Pow(o, half) h = Div(d, r)",
    "pow_minus_one": "o = Add(v, eps) r = Sqrt(o) i = Pow(r, minus_one) h = Mul(d, i)",
}
AFFINES = {
    "none": "y = Relu(h)",
    "scale_bias": "t = Mul(h, g) y = Add(t, b)",
    "bias_scale_swapped": "t = Mul(g, h) y = Add(b, t)",
    "rank_3": "t = Mul(h, g3) y = Add(t, b3)",
    "scale": "y = Mul(h, g)",
    "minus_bias": "t = Mul(h, g) y = Sub(t, b)",
    "bias": "y = Add(h, b)",
}
SPELLINGS = sorted(itertools.product(MEANS, DEVIATIONS, VARIANCES, QUOTIENTS, AFFINES))
random.Random(1).shuffle(SPELLINGS)

WHOLE = {
    "torch_script": "m = ReduceMean(x, last) d = Sub(x, m) q = Pow(d, two) v = ReduceMean(q, last) o = Add(v, eps) r = Sqrt(o) h = Div(d, r) t = Mul(h, g) y = Add(t, b)",
    "torch_dynamo_var": """m = ReduceMean(x, last) k = ReduceMean(x, axis_2) d = Sub(x, k) q = Mul(d, d) w = ReduceMean<keepdims=0>(q, axis_2) u = Mul(w, n) p = Div(u, n)
        v = Reshape(p, kept) o = Add(v, eps) r = Sqrt(o) e = Sub(x, m) h = Div(e, r) t = Mul(h, g) y = Add(t, b)""",
    "keras_3": """m = GlobalAveragePool(x) d = Sub(x, m) q = Mul(d, d) v = GlobalAveragePool(q) o = Add(v, eps) r = Sqrt(o) i = Reciprocal(r) j = Mul(i, g3)
        t = Mul(x, j) k = Neg(m) u = Mul(k, j) w = Add(u, b3) y = Add(t, w)""",
    "keras_2_batchnorm_ops": """m = ReduceMean(x, last) d = Sub(x, m) q = Mul(d, d) v = ReduceMean(q, last) o = Add(v, eps) r = Sqrt(o) i = Reciprocal(r) j = Mul(i, g3)
        t = Mul(x, j) u = Mul(m, j) w = Sub(b3, u) y = Add(t, w)""",
    "keras_2_fused_batchnorm": """f = Reshape(x, flat) m = ReduceMean(f, but_1) d = Sub(f, m) q = ReduceSumSquare<keepdims=0>(d, but_1) s = Squeeze(m, but_1) v = Div(q, n)
        z = BatchNormalization<epsilon=0.001>(f, ones, zeros, s, v) h = Reshape(z, whole) t = Mul(h, g) y = Add(t, b)""",
    "flax": """s = ReduceSum<keepdims=0>(x, last) m = Mul(s, per_n) xx = Mul(x, x) w = ReduceSum<keepdims=0>(xx, last) q = Mul(w, per_n) mm = Mul(m, m) l = Sub(q, mm)
        v = Max(zero, l) vv = Reshape(v, kept) o = Add(vv, eps) r = Sqrt(o) i = Reciprocal(r) j = Mul(i, g3) k = Reshape(m, kept) d = Sub(x, k) t = Mul(d, j) y = Add(t, b3)""",
    "scale_before_root": "m = ReduceMean(x, last) d = Sub(x, m) q = Pow(d, two) v = ReduceMean(q, last) o = Add(v, eps) r = Sqrt(o) u = Mul(g, d) t = Div(u, r) y = Add(t, b)",
    "expanded_statistics": """m = ReduceMean(x, last) mm = Expand(m, whole) d = Sub(x, mm) q = Mul(d, d) v = ReduceMean(q, last) o = Add(v, eps) r = Sqrt(o)
        rr = Expand(r, whole) h = Div(d, rr) t = Mul(h, g) y = Add(t, b)""",
}
EXPORTED = C | {
    "axis_2": np.array([2]),
    "kept": np.array([2, 6, 1]),
    "flat": np.array([1, 12, 8, 1]),
    "whole": np.array([2, 6, 8]),
    "but_1": np.array([0, 2, 3]),
    "ones": np.ones(12),
    "zeros": np.zeros(12),
}


@pytest.mark.parametrize("spelling", SPELLINGS[:150], ids="-".join)
def test_any_mix_of_spellings_becomes_one_operator(recognised: Recognise, spelling: tuple[str, ...]) -> None:
    tables = (MEANS, DEVIATIONS, VARIANCES, QUOTIENTS, AFFINES)
    outcome = recognised(" ".join(table[part] for table, part in zip(tables, spelling, strict=True)), C)
    assert outcome.ops == ["LayerNormalization"] + ["Relu"] * (spelling[-1] == "none")
    assert outcome.snr_db >= LIKE_ROUNDING_DB


@pytest.mark.parametrize("name", WHOLE)
def test_the_spelling_of_each_exporter_becomes_one_operator(recognised: Recognise, name: str) -> None:
    outcome = recognised(WHOLE[name], EXPORTED)
    assert outcome.ops == ["LayerNormalization"]
    assert outcome.snr_db >= LIKE_ROUNDING_DB


def test_the_operator_stands_for_all_nodes_under_the_name_of_the_last(recognised: Recognise) -> None:
    outcome = recognised(WHOLE["torch_script"], C)
    node = outcome.node("LayerNormalization")
    assert provenance.name(node) == node.name == "make_y"
    assert provenance.origins(node) == tuple(f"make_{name}" for name in "mdqvorhty")
    assert provenance.pattern(node) == "layer_norm"
    assert node.outputs[0].name == "y"


def test_the_operator_has_the_constants_of_the_file(recognised: Recognise) -> None:
    node = recognised(WHOLE["keras_3"], EXPORTED).node("LayerNormalization")
    assert node.attributes["axis"].as_int() == -1
    assert node.attributes["epsilon"].as_float() == pytest.approx(1e-3)
    np.testing.assert_array_equal(constant(node.inputs[1]), np.asarray(C["g3"], np.float32).reshape(8))
    np.testing.assert_array_equal(constant(node.inputs[2]), np.asarray(C["b3"], np.float32).reshape(8))


def test_the_unbiased_variance_is_folded_into_scale_and_epsilon(recognised: Recognise) -> None:
    # (x - m) / sqrt(n/(n-1) V + e) = sqrt((n-1)/n) (x - m) / sqrt(V + e (n-1)/n)
    body = """m = ReduceMean(x, last) d = Sub(x, m) q = Mul(d, d) w = ReduceMean(q, last) u = Mul(w, n) v = Div(u, seven) o = Add(v, eps) r = Sqrt(o) h = Div(d, r)
        t = Mul(h, g) y = Add(t, b)"""
    outcome = recognised(body, C | {"seven": 7.0})
    assert outcome.ops == ["LayerNormalization"]
    assert outcome.node("LayerNormalization").attributes["epsilon"].as_float() == pytest.approx(1e-3 * 7 / 8)
    assert outcome.snr_db >= LIKE_ROUNDING_DB


def test_two_trailing_axes_are_one_norm(recognised: Recognise) -> None:
    body = "m = ReduceMean(x, ax) d = Sub(x, m) q = Mul(d, d) v = ReduceMean(q, ax) o = Add(v, eps) r = Sqrt(o) h = Div(d, r) t = Mul(h, gg) y = Add(t, gg)"
    outcome = recognised(body, C | {"ax": np.array([1, 2]), "gg": generator.normal(size=(6, 8))})
    assert outcome.ops == ["LayerNormalization"]
    assert outcome.node("LayerNormalization").attributes["axis"].as_int() == -2
    assert outcome.snr_db >= LIKE_ROUNDING_DB


def test_a_norm_of_a_norm_is_two_operators(recognised: Recognise) -> None:
    second = re.sub(r"\b([mdqvorhty])\b", r"\g<1>2", WHOLE["torch_script"]).replace("x", "y")
    outcome = recognised(f"{WHOLE['torch_script']} {second}", C, outputs="float[2,6,8] y2")
    assert outcome.ops == ["LayerNormalization"] * 2
    assert outcome.snr_db >= LIKE_ROUNDING_DB


CORE = "m = ReduceMean(x, last) d = Sub(x, m) q = Mul(d, d) v = ReduceMean(q, last) o = Add(v, eps) r = Sqrt(o) h = Div(d, r)"


def test_two_affines_of_one_norm_stay_behind_it(recognised: Recognise) -> None:
    outcome = recognised(f"{CORE} t = Mul(h, g) u = Mul(h, b) y = Add(t, u)", C)
    assert outcome.ops == ["LayerNormalization", "Mul", "Mul", "Add"]
    assert outcome.snr_db >= LIKE_ROUNDING_DB


def test_a_constant_per_token_is_no_bias(recognised: Recognise) -> None:
    outcome = recognised(f"{CORE} t = Mul(h, g) y = Add(t, position)", C | {"position": generator.normal(size=(6, 8))})
    assert outcome.ops == ["LayerNormalization", "Add"]
    assert outcome.snr_db >= LIKE_ROUNDING_DB


def test_a_second_scale_stays_behind_the_norm(recognised: Recognise) -> None:
    outcome = recognised(f"{CORE} t = Mul(h, g) u = Add(t, b) y = Mul(u, g)", C)
    assert outcome.ops == ["LayerNormalization", "Mul"]
    assert outcome.snr_db >= LIKE_ROUNDING_DB


@pytest.mark.parametrize("inner", ["m", "d", "r", "h"])
def test_an_inner_value_that_is_an_output_stays(recognised: Recognise, inner: str) -> None:
    shape = "2,6,1" if inner in "mr" else "2,6,8"
    outcome = recognised(f"{CORE} t = Mul(h, g) y = Add(t, b)", C, outputs=f"float[2,6,8] y, float[{shape}] {inner}")
    if inner == "h":  # the norm itself: only its affine is left
        assert outcome.ops == ["LayerNormalization", "Mul", "Add"]
    else:
        assert "LayerNormalization" not in outcome.ops
        assert outcome.marked("layer_norm") == set("mdqvorhty")
    assert outcome.snr_db >= LIKE_ROUNDING_DB


def test_an_inner_value_with_another_reader_stays(recognised: Recognise) -> None:
    outcome = recognised(f"{CORE} t = Mul(h, g) u = Add(t, b) k = Relu(m) y = Add(u, k)", C)
    assert "LayerNormalization" not in outcome.ops
    assert outcome.marked("layer_norm") == set("mdqvorhtu")


@pytest.mark.parametrize(
    ("name", "body"),
    {
        "axis 1 of NCHW": "m = ReduceMean(x, ax) d = Sub(x, m) q = Pow(d, two) v = ReduceMean(q, ax) o = Add(v, eps) r = Sqrt(o) h = Div(d, r) t = Mul(gc, h) y = Add(t, gc)",
        "epsilon outside of the root": "m = ReduceMean(x, last) d = Sub(x, m) q = Mul(d, d) v = ReduceMean(q, last) o = Sqrt(v) r = Add(o, eps) h = Div(d, r) t = Mul(h, g) y = Add(t, b)",
        "epsilon as a bound": "m = ReduceMean(x, last) d = Sub(x, m) q = Mul(d, d) v = ReduceMean(q, last) o = Max(v, eps) r = Sqrt(o) h = Div(d, r) t = Mul(h, g) y = Add(t, b)",
        "bounded deviation": "m = ReduceMean(x, last) d = Sub(x, m) q = Mul(d, d) v = ReduceMean(q, last) r = Sqrt(v) o = Clip(r, eps) h = Div(d, o) t = Mul(h, g) y = Add(t, b)",
    }.items(),
    ids=str,
)
def test_what_the_operator_cannot_say_is_a_region(recognised: Recognise, name: str, body: str) -> None:
    outcome = recognised(body, C | {"ax": np.array([1]), "gc": generator.normal(size=(4, 1, 1))}, inputs="float[1,4,5,8] x")
    assert outcome.marked("layer_norm") == set("mdqvorhty")
    assert outcome.snr_db == float("inf")


def test_below_opset_17_every_node_is_marked(recognised: Recognise) -> None:
    body = "m = ReduceMean<axes=[-1]>(x) d = Sub(x, m) q = Pow(d, two) v = ReduceMean<axes=[-1]>(q) o = Add(v, eps) r = Sqrt(o) h = Div(d, r) t = Mul(h, g) y = Add(t, b)"
    assert recognised(body, C, opset=16).marked("layer_norm") == set("mdqvorhty")
    assert recognised(body, C, opset=17).ops == ["LayerNormalization"]


def test_the_operator_itself_is_marked(recognised: Recognise) -> None:
    outcome = recognised("y = LayerNormalization(x, g, b)", C)
    assert outcome.marks == {"y": "layer_norm"}


NEAR_MISSES = {
    "means over different axes": "m = ReduceMean(x, last) d = Sub(x, m) q = Mul(d, d) v = ReduceMean(q, ax) o = Add(v, eps) r = Sqrt(o) y = Div(d, r)",
    "variance of another tensor": "z = Relu(x) m = ReduceMean(x, last) d = Sub(x, m) k = ReduceMean(z, last) e = Sub(z, k) q = Mul(e, e) v = ReduceMean(q, last) o = Add(v, eps) r = Sqrt(o) y = Div(d, r)",
    "mean of another tensor": "z = Relu(x) m = ReduceMean(z, last) d = Sub(x, m) q = Mul(d, d) v = ReduceMean(q, last) o = Add(v, eps) r = Sqrt(o) y = Div(d, r)",
    "mean added": "m = ReduceMean(x, last) d = Add(x, m) q = Mul(d, d) v = ReduceMean(q, last) o = Add(v, eps) r = Sqrt(o) y = Div(d, r)",
    "not squared": "m = ReduceMean(x, last) d = Sub(x, m) q = Pow(d, three) v = ReduceMean(q, last) w = Abs(v) o = Add(w, eps) r = Sqrt(o) y = Div(d, r)",
    "product of two tensors": "z = Relu(x) m = ReduceMean(x, last) d = Sub(x, m) q = Mul(d, z) v = ReduceMean(q, last) w = Abs(v) o = Add(w, eps) r = Sqrt(o) y = Div(d, r)",
    "no root": "m = ReduceMean(x, last) d = Sub(x, m) q = Mul(d, d) v = ReduceMean(q, last) o = Add(v, eps) y = Div(d, o)",
    "another root": "m = ReduceMean(x, last) d = Sub(x, m) q = Mul(d, d) v = ReduceMean(q, last) o = Add(v, eps) r = Pow(o, third) y = Div(d, r)",
    "mean not subtracted": "m = ReduceMean(x, last) d = Sub(x, m) q = Mul(d, d) v = ReduceMean(q, last) o = Add(v, eps) r = Sqrt(o) y = Div(x, r)",
    "mean square as variance": "m = ReduceMean(x, last) d = Sub(x, m) q = Mul(x, x) v = ReduceMean(q, last) o = Add(v, eps) r = Sqrt(o) y = Div(d, r)",
    "mean scaled": "m = ReduceMean(x, last) k = Mul(m, half) d = Sub(x, k) q = Mul(d, d) v = ReduceMean(q, last) o = Add(v, eps) r = Sqrt(o) y = Div(d, r)",
    "only the spread of the mean is taken off": "m = ReduceMean(x, last) xx = Mul(x, x) w = ReduceMean(xx, last) k = Mul(m, half) kk = Mul(k, k) u = Sub(w, kk) v = Abs(u) o = Add(v, eps) r = Sqrt(o) d = Sub(x, m) y = Div(d, r)",
    "epsilon below zero": "m = ReduceMean(x, last) d = Sub(x, m) q = Mul(d, d) v = ReduceMean(q, last) o = Sub(v, eps) w = Abs(o) r = Sqrt(w) y = Div(d, r)",
    "another scale for the mean": "m = ReduceMean(x, last) d = Sub(x, m) q = Mul(d, d) v = ReduceMean(q, last) o = Add(v, eps) r = Sqrt(o) i = Reciprocal(r) j = Mul(i, g) l = Mul(i, b) t = Mul(x, j) u = Mul(m, l) y = Sub(t, u)",
    "a variable epsilon": "m = ReduceMean(x, last) d = Sub(x, m) q = Mul(d, d) v = ReduceMean(q, last) a = Abs(m) o = Add(v, a) r = Sqrt(o) y = Div(d, r)",
}


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_a_near_miss_is_left_alone(recognised: Recognise, name: str) -> None:
    outcome = recognised(NEAR_MISSES[name], C | {"ax": np.array([1]), "three": 3.0, "third": 1 / 3})
    assert "LayerNormalization" not in outcome.ops
    assert not outcome.marked("layer_norm")


def test_statistics_without_kept_axes_that_broadcast_along_another_axis_are_no_norm(recognised: Recognise) -> None:
    # 6 x 6: the shapes fit, but row means are taken off columns
    body = "m = ReduceMean<keepdims=0>(x, last) d = Sub(x, m) q = Mul(d, d) v = ReduceMean<keepdims=0>(q, last) o = Add(v, eps) r = Sqrt(o) y = Div(d, r)"
    outcome = recognised(body, C, inputs="float[6,6] x")
    assert outcome.ops == ["ReduceMean", "Sub", "Mul", "ReduceMean", "Add", "Sqrt", "Div"]
    assert not outcome.marked("layer_norm")


def test_a_very_large_norm_without_affine_gets_no_scale_of_its_size(recognised: Recognise) -> None:
    outcome = recognised(f"{CORE} y = Relu(h)", C, inputs="float[1,1,70000] x")
    assert outcome.marked("layer_norm") == set("mdqvorh")


@pytest.mark.parametrize(("axes", "shape"), [([2, 3], "1,4,5,6"), ([1, 2], "1,5,6,4")])
def test_a_norm_of_each_channel_is_an_instance_norm(recognised: Recognise, axes: list[int], shape: str) -> None:
    body = "m = ReduceMean(x, ax) d = Sub(x, m) q = Mul(d, d) v = ReduceMean(q, ax) o = Add(v, eps) r = Sqrt(o) y = Div(d, r)"
    outcome = recognised(body, C | {"ax": np.array(axes)}, inputs=f"float[{shape}] x")
    assert outcome.marked("instance_norm") == set("mdqvory")


def test_a_norm_of_reshaped_groups_is_a_group_norm(recognised: Recognise) -> None:
    body = """f = Reshape(x, groups) m = ReduceMean(f, ax) k = Neg(m) d = Sub(f, m) q = Mul(d, d) v = ReduceMean(q, ax) o = Add(v, eps) r = Sqrt(o) i = Reciprocal(r)
        j = Expand(i, wide) t = Mul(f, j) u = Mul(k, j) h = Add(t, u) y = Reshape(h, whole)"""  # Keras 3
    constants = {"groups": np.array([1, 4, 5, 2, 4]), "ax": np.array([1, 2, 4]), "wide": np.array([1, 1, 1, 2, 4]), "whole": np.array([1, 4, 5, 8])}
    outcome = recognised(body, C | constants, inputs="float[1,4,5,8] x")
    assert outcome.marked("group_norm") == set("mkdqvorijtuhy")


def test_heads_that_are_normalised_each_are_layer_norms(recognised: Recognise) -> None:
    core = CORE.replace("(x", "(f")
    outcome = recognised(f"f = Reshape(x, heads) {core} y = Reshape(h, whole)", C | {"heads": np.array([2, 6, 2, 4]), "whole": np.array([2, 6, 8])})
    assert outcome.ops == ["Reshape", "LayerNormalization", "Reshape"]
    assert outcome.snr_db >= LIKE_ROUNDING_DB


def test_a_norm_without_epsilon_has_an_epsilon_of_zero(recognised: Recognise) -> None:
    outcome = recognised("m = ReduceMean(x, last) d = Sub(x, m) q = Mul(d, d) v = ReduceMean(q, last) r = Sqrt(v) h = Div(d, r) y = Mul(h, g)", C)
    assert outcome.ops == ["LayerNormalization"]
    assert outcome.node("LayerNormalization").attributes["epsilon"].as_float() == 0.0
    assert outcome.snr_db >= LIKE_ROUNDING_DB
