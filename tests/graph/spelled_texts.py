"""Patterns in ONNX text, by hand and with the operators of onnxruntime; tensors called `t_...` belong to the pattern. Key: `<pattern>/<spelling>`."""

import re
from collections.abc import Mapping

import numpy as np
import onnx
import onnx.parser
from onnx import numpy_helper

from bridge.types import SourceModel

_RANDOM = np.random.default_rng(3)
TOKENS = "float[2,5,8] x"
PICTURE = "float[1,8,6,6] x"
CONSTANTS: Mapping[str, np.ndarray] = {
    name: np.asarray(value, np.float32 if np.asarray(value).dtype.kind == "f" else np.int64)
    for name, value in {
        **{"one": 1.0, "two": 2.0, "half": 0.5, "zero": 0.0, "three": 3.0, "six": 6.0, "minus": -1.0, "fifth": 0.2, "eps": 1e-5, "quick": 1.702},
        **{"root2": np.sqrt(2.0), "root_pi": np.sqrt(2.0 / np.pi), "cubic": 0.044715, "alpha": 0.7, "lambda": 1.0507009873554805},
        **{"selu_alpha": 1.6732632423543772, "scale": 0.5, "last": [-1], "first": [1], "spatial": [2, 3], "large": -10000.0, "axes12": [1, 2]},
        **{
            "g": _RANDOM.uniform(0.5, 1.5, 8),
            "b": _RANDOM.normal(size=8),
            "g3": _RANDOM.uniform(0.5, 1.5, (8, 1, 1)),
            "b3": _RANDOM.normal(size=(8, 1, 1)),
        },
        **{f"w{name}": _RANDOM.normal(size=(8, 8)) / 3.0 for name in "abcd"},
        **{"heads": [2, 5, 2, 4], "joined": [2, 5, 8], "qkv": _RANDOM.normal(size=(8, 24)) / 3.0, "qkvb": _RANDOM.normal(size=24)},
        **{"mean": _RANDOM.uniform(0.3, 0.5, (1, 3, 1, 1)), "std": _RANDOM.uniform(0.2, 0.3, (1, 3, 1, 1)), "k3": _RANDOM.normal(size=(8, 3, 1, 1))},
        **{"k8": _RANDOM.normal(size=(8, 8, 1, 1)) / 3.0, "kr": _RANDOM.normal(size=(4, 8, 1, 1)), "ke": _RANDOM.normal(size=(8, 4, 1, 1))},
        **{"table": _RANDOM.normal(size=(1, 5, 8)), "w": _RANDOM.normal(size=(8, 8)), "w2": _RANDOM.normal(size=(5, 8)), "quicker": 1.6},
        **{"words": _RANDOM.normal(size=(11, 8)), "kinds": _RANDOM.normal(size=(2, 8)), "k1": _RANDOM.normal(size=(1, 8, 1, 1))},
    }.items()
}
_LINEAR = "h = MatMul(x, wa)"
_OUT = " y = MatMul({}, wb)"
_HEADS = "q = MatMul(x, wa) k = MatMul(x, wb) v = MatMul(x, wc) "
_SPLIT = """t_q0 = Reshape(q, heads) t_q = Transpose<perm=[0,2,1,3]>(t_q0) t_k0 = Reshape(k, heads) t_k = Transpose<perm=[0,2,3,1]>(t_k0)
    t_v0 = Reshape(v, heads) t_v = Transpose<perm=[0,2,1,3]>(t_v0) """
_JOIN = " t_c = MatMul(t_p, t_v) t_m = Transpose<perm=[0,2,1,3]>(t_c) t_o = Reshape(t_m, joined) y = MatMul(t_o, wd)"

BY_HAND: Mapping[str, tuple[str, str]] = {
    "layer_norm/divided_by_root": (f"{_LINEAR} t_m = ReduceMean(h, last) t_d = Sub(h, t_m) t_q = Mul(t_d, t_d) t_v = ReduceMean(t_q, last) t_e = Add(t_v, eps) t_r = Sqrt(t_e) t_n = Div(t_d, t_r) t_s = Mul(t_n, g) t_y = Add(t_s, b)" + _OUT.format("t_y"), TOKENS),
    "layer_norm/inverse_root": (f"{_LINEAR} t_m = ReduceMean(h, last) t_d = Sub(h, t_m) t_q = Pow(t_d, two) t_v = ReduceMean(t_q, last) t_e = Add(eps, t_v) t_r = Sqrt(t_e) t_i = Reciprocal(t_r) t_s = Mul(t_i, g) t_y = Mul(t_d, t_s)" + _OUT.format("t_y"), TOKENS),
    "rms_norm/power": (f"{_LINEAR} t_q = Pow(h, two) t_m = ReduceMean(t_q, last) t_e = Add(t_m, eps) t_r = Sqrt(t_e) t_n = Div(h, t_r) t_y = Mul(g, t_n)" + _OUT.format("t_y"), TOKENS),
    "instance_norm/operator": ("h = Conv(x, k8) t_y = InstanceNormalization(h, g, b) r = Relu(t_y) y = Conv(r, k8)", PICTURE),
    "group_norm/operator": ("h = Conv(x, k8) t_y = GroupNormalization<num_groups=4>(h, g, b) r = Relu(t_y) y = Conv(r, k8)", PICTURE),
    "batch_norm/multiply_add": ("h = Conv(x, k8) r = Relu(h) t_s = Mul(r, g3) t_y = Add(t_s, b3) z = Relu(t_y) y = Conv(z, k8)", PICTURE),
    "l2_norm/reduce_l2": (f"{_LINEAR} t_l = ReduceL2(h, last) t_y = Div(h, t_l)" + _OUT.format("t_y"), TOKENS),
    "l2_norm/lp_normalization": (f"{_LINEAR} t_y = LpNormalization<axis=-1, p=2>(h)" + _OUT.format("t_y"), TOKENS),
    "l2_norm/maximum": (f"{_LINEAR} t_q = Mul(h, h) t_s = ReduceSum(t_q, last) t_m = Max(t_s, eps) t_r = Sqrt(t_m) t_i = Reciprocal(t_r) t_y = Mul(h, t_i)" + _OUT.format("t_y"), TOKENS),
    "gelu/half_last": (f"{_LINEAR} t_d = Div(h, root2) t_e = Erf(t_d) t_a = Add(t_e, one) t_m = Mul(h, t_a) t_y = Mul(t_m, half)" + _OUT.format("t_y"), TOKENS),
    "gelu/tanh": (f"{_LINEAR} t_p = Pow(h, three) t_c = Mul(t_p, cubic) t_s = Add(h, t_c) t_k = Mul(t_s, root_pi) t_t = Tanh(t_k) t_a = Add(t_t, one) t_h = Mul(h, half) t_y = Mul(t_h, t_a)" + _OUT.format("t_y"), TOKENS),
    "gelu/sigmoid": (f"{_LINEAR} t_m = Mul(h, quick) t_s = Sigmoid(t_m) t_y = Mul(h, t_s)" + _OUT.format("t_y"), TOKENS),
    "silu/exponential": (f"{_LINEAR} t_n = Neg(h) t_e = Exp(t_n) t_a = Add(t_e, one) t_y = Div(h, t_a)" + _OUT.format("t_y"), TOKENS),
    "hard_swish/minimum_maximum": (f"{_LINEAR} t_a = Add(h, three) t_l = Max(t_a, zero) t_u = Min(t_l, six) t_m = Mul(h, t_u) t_y = Div(t_m, six)" + _OUT.format("t_y"), TOKENS),
    "hard_sigmoid/minimum_maximum": (f"{_LINEAR} t_m = Mul(h, fifth) t_a = Add(t_m, half) t_u = Min(t_a, one) t_y = Max(t_u, zero)" + _OUT.format("t_y"), TOKENS),
    "mish/exponential": (f"{_LINEAR} t_e = Exp(h) t_a = Add(t_e, one) t_l = Log(t_a) t_t = Tanh(t_l) t_y = Mul(t_t, h)" + _OUT.format("t_y"), TOKENS),
    "elu/where": (f"{_LINEAR} t_g = Greater(h, zero) t_e = Exp(h) t_s = Sub(t_e, one) t_m = Mul(t_s, alpha) t_y = Where(t_g, h, t_m)" + _OUT.format("t_y"), TOKENS),
    "elu/two_halves": (f"{_LINEAR} t_p = Relu(h) t_n = Min(h, zero) t_e = Exp(t_n) t_s = Sub(t_e, one) t_y = Add(t_p, t_s)" + _OUT.format("t_y"), TOKENS),
    "selu/of_elu": (f"{_LINEAR} t_e = Elu<alpha=1.6732632423543772>(h) t_y = Mul(t_e, lambda)" + _OUT.format("t_y"), TOKENS),
    "celu/of_elu": (f"{_LINEAR} t_d = Div(h, alpha) t_e = Elu(t_d) t_y = Mul(t_e, alpha)" + _OUT.format("t_y"), TOKENS),
    "softmax/reciprocal": (f"{_LINEAR} t_m = ReduceMax(h, last) t_d = Sub(h, t_m) t_e = Exp(t_d) t_s = ReduceSum(t_e, last) t_r = Reciprocal(t_s) t_y = Mul(t_e, t_r)" + _OUT.format("t_y"), TOKENS),
    "log_softmax/shifted": (f"{_LINEAR} t_m = ReduceMax(h, last) t_d = Sub(h, t_m) t_e = Exp(t_d) t_s = ReduceSum(t_e, last) t_l = Log(t_s) t_a = Add(t_l, t_m) t_y = Sub(h, t_a)" + _OUT.format("t_y"), TOKENS),
    "attention/scale_after": (_HEADS + _SPLIT + "t_s = MatMul(t_q, t_k) t_d = Mul(t_s, scale) t_p = Softmax<axis=-1>(t_d)" + _JOIN, TOKENS),
    "attention/scale_before": (_HEADS + _SPLIT + "t_z = Mul(t_q, scale) t_s = MatMul(t_z, t_k) t_p = Softmax<axis=-1>(t_s)" + _JOIN, TOKENS),
    "attention/capped": (_HEADS + _SPLIT + "t_s = MatMul(t_q, t_k) t_d = Div(t_s, six) t_t = Tanh(t_d) t_u = Mul(t_t, six) t_p = Softmax<axis=-1>(t_u)" + _JOIN, TOKENS),
    "attention/softmax_in_parts": (_HEADS + _SPLIT + "t_s = MatMul(t_q, t_k) t_x = ReduceMax(t_s, last) t_d = Sub(t_s, t_x) t_e = Exp(t_d) t_z = ReduceSum(t_e, last) t_p = Div(t_e, t_z)" + _JOIN, TOKENS),
    "squeeze_excite/reduce_mean": ("h = Conv(x, k8) t_m = ReduceMean(h, spatial) t_r = Conv(t_m, kr) t_a = Relu(t_r) t_e = Conv(t_a, ke) t_g = Sigmoid(t_e) t_y = Mul(t_g, h) y = Conv(t_y, k8)", PICTURE),
    "rescaling/input": ("t_s = Sub(x, mean) t_d = Div(t_s, std) y = Conv(t_d, k3)", "float[1,3,6,6] x"),
    "positional_embedding/constant": (f"{_LINEAR} t_y = Add(h, table) n = LayerNormalization(t_y, g, b)" + _OUT.format("n"), TOKENS),
    "first_layer/matmul": ("t_y = MatMul(x, wa) r = Relu(t_y) y = MatMul(r, wb)", TOKENS),
    "last_layer/matmul": ("h = MatMul(x, wa) r = Relu(h) t_h = MatMul(r, wb) y = Sigmoid(t_h)", TOKENS),
}  # fmt: skip

CONTRIB: Mapping[str, tuple[str, str]] = {
    "layer_norm/skip_layer_normalization": (f"{_LINEAR} t_y = com.microsoft.SkipLayerNormalization<epsilon=0.001>(h, x, g, b)" + _OUT.format("t_y"), TOKENS),
    "rms_norm/simplified": (f"{_LINEAR} t_y = SimplifiedLayerNormalization<epsilon=0.001, axis=-1>(h, g)" + _OUT.format("t_y"), TOKENS),
    "rms_norm/skip_simplified": (f"{_LINEAR} t_y = com.microsoft.SkipSimplifiedLayerNormalization<epsilon=0.001>(h, x, g)" + _OUT.format("t_y"), TOKENS),
    "gelu/gelu": (f"{_LINEAR} t_y = com.microsoft.Gelu(h)" + _OUT.format("t_y"), TOKENS),
    "gelu/bias_gelu": (f"{_LINEAR} t_y = com.microsoft.BiasGelu(h, b)" + _OUT.format("t_y"), TOKENS),
    "gelu/fast_gelu": (f"{_LINEAR} t_y = com.microsoft.FastGelu(h, b)" + _OUT.format("t_y"), TOKENS),
    "gelu/quick_gelu": (f"{_LINEAR} t_y = com.microsoft.QuickGelu(h)" + _OUT.format("t_y"), TOKENS),
    "silu/quick_gelu_of_one": (f"{_LINEAR} t_y = com.microsoft.QuickGelu<alpha=1.0>(h)" + _OUT.format("t_y"), TOKENS),
    "attention/attention": ("t_o = com.microsoft.Attention<num_heads=2>(x, qkv, qkvb) y = MatMul(t_o, wd)", TOKENS),
    "attention/multi_head_attention": (_HEADS + "t_o = com.microsoft.MultiHeadAttention<num_heads=2>(q, k, v) y = MatMul(t_o, wd)", TOKENS),
    "attention/fused_matmul": (_HEADS + _SPLIT + "t_s = com.microsoft.FusedMatMul<alpha=0.5>(t_q, t_k) t_p = Softmax<axis=-1>(t_s)" + _JOIN, TOKENS),
    "first_layer/fused_conv": ('t_y = com.microsoft.FusedConv<activation="Relu">(x, k8) y = Conv(t_y, k8)', PICTURE),
}  # fmt: skip


def source(body: str, inputs: str) -> SourceModel:
    """The model of a text, with the constants that it uses; the output has the rank that its last operator gives it."""
    header = '<ir_version: 10, opset_import: ["" : 21, "com.microsoft" : 1]>'
    proto = onnx.parser.parse_model(f"{header} g ({inputs}) => (float y) {{ {body} }}")
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    words = set(re.findall(r"\w+", body)) - set(re.findall(r"(\w+) =", body))
    proto.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in CONSTANTS.items() if name in words)
    return SourceModel(proto=proto, digest="d")


def near_miss(body: str) -> SourceModel:
    """The model of a text over tokens x, queries q, keys k and values v [2, 8, 8], pictures i and j, and ids n; it reads those it names."""
    inputs = {"x": "float[2,5,8] x", "q": "float[2,8,8] q", "k": "float[2,8,8] k", "v": "float[2,8,8] v", "i": PICTURE[:-1] + "i", "j": PICTURE[:-1] + "j", "n": "int64[2,5] n"}  # fmt: skip
    words = set(re.findall(r"\w+", body))
    return source(body, ", ".join(text for name, text in inputs.items() if name in words))
