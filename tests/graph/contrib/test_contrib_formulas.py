"""Contrib operators that onnxruntime runs on GPUs only: their documented formula, written in NumPy, is the judge."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from contrib_model import AGREEMENT, Case, arrays, normalized, run_graph, worst
from onnx import TensorProto
from scipy.special import erf

FLOAT = TensorProto.FLOAT


def gelu(x: np.ndarray) -> Any:
    return 0.5 * x * (1 + erf(x / np.sqrt(2)))


def tanh_gelu(x: np.ndarray) -> Any:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def softmax(x: np.ndarray) -> Any:
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def group_norm(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, groups: int, epsilon: float) -> Any:
    """[N, H, W, C]."""
    n, h, w, c = x.shape
    grouped = x.reshape(n, h, w, groups, c // groups)
    mean, variance = grouped.mean((1, 2, 4), keepdims=True), grouped.var((1, 2, 4), keepdims=True)
    return ((grouped - mean) / np.sqrt(variance + epsilon)).reshape(x.shape) * gamma + beta


def conv(x: np.ndarray, weights: np.ndarray) -> Any:
    """[N, H, W, C] with [M, C, 1, 1]."""
    return x @ weights[:, :, 0, 0].T


LAST = (2, 3, 4, 8)


def split_gelu(x: np.ndarray, b: np.ndarray) -> Any:
    left, right = np.split(x + b, 2, axis=-1)
    return left * gelu(right)


def silu(x: np.ndarray) -> Any:
    return x / (1 + np.exp(-x))


STORED, SCALE = np.arange(-8, 8, dtype=np.int8), np.array(0.5, np.float32)


CASES: list[tuple[Case, Callable[..., object]]] = [
    (Case("BiasAdd", [(2, 3, 8), (8,), (2, 3, 8)]), lambda x, b, s: x + b + s),
    (Case("BiasDropout", [(2, 3, 8), (8,), (2, 3, 8)]), lambda x, b, r: x + b + r),
    (Case("BiasDropout", [(2, 3, 8), (8,)]), lambda x, b: x + b),
    (Case("BitmaskDropout", [(2, 3)]), lambda x: x),
    (Case("BiasSplitGelu", [(2, 3, 8), (8,)]), split_gelu),
    (Case("BiasSoftmax", [(2, 4, 3, 5), (2, 1, 1, 5)], {"axis": 3, "is_inner_broadcast": 1}), lambda x, b: softmax(x + b)),
    (Case("GemmFastGelu", [(2, 3, 4), (4, 5), (5,)]), lambda x, w, b: tanh_gelu(x @ w + b)),
    (
        Case("FusedMatMulActivation", [(2, 4, 3), (2, 4, 5)], {"transA": 1, "activation": "LeakyRelu", "activation_alpha": 0.2}),
        lambda a, b: np.maximum(a.swapaxes(1, 2) @ b, 0.2 * (a.swapaxes(1, 2) @ b)),
    ),
    (
        Case("GroupNorm", [LAST, (8,), (8,)], {"activation": 0, "groups": 2, "epsilon": 1e-3}),
        lambda x, g, b: group_norm(x, g, b, 2, 1e-3),
    ),
    (
        Case("GroupNorm", [(2, 8, 3, 4), (8,), (8,)], {"activation": 1, "groups": 4, "channels_last": 0}),
        lambda x, g, b: silu(group_norm(x.transpose(0, 2, 3, 1), g, b, 4, 1e-5)).transpose(0, 3, 1, 2),
    ),
    (
        Case("SkipGroupNorm", [LAST, (8,), (8,), (2, 8), (8,)], {"activation": 1, "groups": 2}, outputs=(FLOAT, FLOAT)),
        lambda x, g, b, s, c: (silu(group_norm(x + s[:, None, None] + c, g, b, 2, 1e-5)), x + s[:, None, None] + c),
    ),
    (Case("SkipGroupNorm", [LAST, (8,), (8,), LAST], {"activation": 0, "groups": 2}), lambda x, g, b, s: group_norm(x + s, g, b, 2, 1e-5)),
    (Case("NhwcConv", [LAST, (5, 8, 1, 1), (5,)], {"kernel_shape": [1, 1]}), lambda x, w, b: conv(x, w) + b),
    (
        Case("NhwcFusedConv", [LAST, (5, 8, 1, 1), (5,), (2, 3, 4, 5)], {"kernel_shape": [1, 1], "activation": "Relu"}),
        lambda x, w, b, z: np.maximum(conv(x, w) + b + z, 0),
    ),
    (  # onnxruntime ends the process where the zero points are left out
        Case("QLinearLeakyRelu", [STORED, SCALE, None, SCALE], {"alpha": 0.5}, (1, 3), (TensorProto.INT8,)),
        lambda x, s, z: np.where(x < 0, np.round(x / 2), x),
    ),
    (
        Case(
            "QLinearReduceMean",
            [STORED.reshape(4, 4), SCALE, np.array(1, np.int8), SCALE, np.array(2, np.int8)],
            {"axes": [1], "keepdims": 0},
            (1, 2, 3, 4),
            (TensorProto.INT8,),
        ),
        lambda x, s, z, t, u: np.round((x - 1).mean(1)) + 2,
    ),
]


@pytest.mark.parametrize(("case", "formula"), CASES, ids=[str(case) for case, _ in CASES])
def test_the_spelling_gives_what_the_formula_gives(case: Case, formula: Callable[..., object]) -> None:
    given = arrays(case)
    _, graph = normalized(case)
    expected = formula(*(array.astype(np.float64) for array in given.values()))
    assert worst(list(expected) if isinstance(expected, tuple) else [np.asarray(expected)], run_graph(graph, given)) < AGREEMENT
