"""Every contrib operator that onnxruntime has a CPU kernel for: the normalised model gives what the kernel gives."""

from dataclasses import replace

import numpy as np
import pytest
from contrib_model import AGREEMENT, Case, difference
from onnx import TensorProto

RANDOM = np.random.default_rng(5)
FLOAT, INT32, UINT8 = TensorProto.FLOAT, TensorProto.INT32, TensorProto.UINT8


def ints(*rows: object) -> np.ndarray:
    return np.array(rows, np.int32)


def stored(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    low, high = (0, 256) if dtype is np.uint8 else (-128, 128)
    return RANDOM.integers(low, high, shape).astype(dtype)


def scalar(value: float, dtype: type = np.float32) -> np.ndarray:
    return np.array(value, dtype)


FIVE, MASK2, MASK3 = (2, 6, 8), np.array([[1] * 6, [1] * 4 + [0] * 2], np.int32), RANDOM.integers(0, 2, (2, 6, 6)).astype(np.int32)
MASK3[:, :, 0] = 1
WIDE: dict[str, object] = {"num_heads": 2, "qkv_hidden_sizes": [8, 8, 12]}

ATTENTION = [
    Case("Attention", [FIVE, (8, 24), (24,)], {"num_heads": 2}, (1, 2)),
    Case("Attention", [FIVE, (8, 24), (24,)], {"num_heads": 4, "scale": 0.3}, (1, 2)),
    Case("Attention", [FIVE, (8, 24), (24,), MASK2], {"num_heads": 2}, (1, 2)),
    Case("Attention", [FIVE, (8, 24), (24,), MASK2], {"num_heads": 2, "mask_filter_value": -3.0}, (1, 2)),
    Case("Attention", [FIVE, (8, 24), (24,), MASK3], {"num_heads": 2}, (1, 2)),
    Case("Attention", [FIVE, (8, 24), (24,), ints(6, 3)], {"num_heads": 2}, (1, 2)),
    Case("Attention", [FIVE, (8, 24), (24,), ints(6, 5, 2, 0)], {"num_heads": 2}, (1, 2)),
    Case("Attention", [FIVE, (8, 24), (24,)], {"num_heads": 2, "unidirectional": 1}, (1, 2)),
    Case("Attention", [FIVE, (8, 24), (24,), MASK2], {"num_heads": 2, "unidirectional": 1}, (1, 2)),
    Case("Attention", [FIVE, (8, 24), (24,), None, None, (1, 2, 6, 6)], {"num_heads": 2}, (1, 2)),
    Case("Attention", [FIVE, (8, 24), (24,), MASK2, None, (2, 1, 6, 6)], {"num_heads": 2}, (1, 2)),
    Case("Attention", [FIVE, (8, 28), (28,)], WIDE, (1, 2)),
    Case("Attention", [FIVE, (8, 24), (24,), None, (2, 2, 2, 3, 4)], {"num_heads": 2, "unidirectional": 1}, (1, 2), (FLOAT, FLOAT)),
    Case("MultiHeadAttention", [FIVE, FIVE, FIVE], {"num_heads": 2}),
    Case("MultiHeadAttention", [FIVE, (2, 5, 8), (2, 5, 8), (24,)], {"num_heads": 4}, (3,)),
    Case("MultiHeadAttention", [FIVE, (2, 5, 8), (2, 5, 12)], {"num_heads": 2, "scale": 0.5}),
    Case("MultiHeadAttention", [FIVE, FIVE, FIVE, (24,), MASK2], {"num_heads": 2}, (3,)),
    Case("MultiHeadAttention", [FIVE, FIVE, FIVE, None, None, (2, 2, 6, 6)], {"num_heads": 2}),
    Case("MultiHeadAttention", [FIVE, FIVE, FIVE], {"num_heads": 2, "unidirectional": 1}),
    Case("MultiHeadAttention", [FIVE, (2, 2, 5, 4), (2, 2, 5, 4)], {"num_heads": 2}),
    Case("MultiHeadAttention", [FIVE, FIVE, FIVE, None, None, None, (2, 2, 3, 4), (2, 2, 3, 4)], {"num_heads": 2}, (), (FLOAT, FLOAT, FLOAT)),
    Case(
        "GroupQueryAttention",
        [(1, 6, 32), (1, 6, 16), (1, 6, 16), None, None, ints(5), scalar(6, np.int32)],
        {"num_heads": 4, "kv_num_heads": 2},
        (),
        (FLOAT, FLOAT, FLOAT),
    ),
    Case(
        "GroupQueryAttention",
        [(1, 6, 64), (1, 6, 32), (1, 6, 32), None, None, ints(5), scalar(6, np.int32), (10, 8), (10, 8)],
        {"num_heads": 4, "kv_num_heads": 2, "do_rotary": 1},
        (7, 8),
        (FLOAT, FLOAT, FLOAT),
    ),
    Case(
        "GroupQueryAttention",
        [(1, 6, 32), None, None, None, None, ints(5), scalar(6, np.int32)],
        {"num_heads": 2, "kv_num_heads": 1, "scale": 0.7},
        (),
        (FLOAT, FLOAT, FLOAT),
    ),
]

ROTARY = [
    Case("RotaryEmbedding", [(2, 3, 16), np.array([[0, 1, 2], [4, 5, 6]]), (10, 4), (10, 4)], {}, (2, 3)),
    Case("RotaryEmbedding", [(2, 3, 16), np.array([2]), (10, 4), (10, 4)], {}, (2, 3)),
    Case("RotaryEmbedding", [(2, 4, 3, 8), np.array([[0, 1, 2], [4, 5, 6]]), (10, 4), (10, 4)], {"interleaved": 1}, (2, 3)),
    Case("RotaryEmbedding", [(1, 3, 16), np.array([[0, 1, 2]]), (10, 2), (10, 2)], {"num_heads": 2, "rotary_embedding_dim": 4}, (2, 3)),
]

TABLES = [(11, 8), (7, 8), (2, 8), (8,), (8,)]
IDS, SEGMENTS = RANDOM.integers(0, 11, (2, 5)).astype(np.int32), RANDOM.integers(0, 2, (2, 5)).astype(np.int32)
EMBEDDING = [
    Case("EmbedLayerNormalization", [IDS, SEGMENTS, *TABLES], {"epsilon": 1e-5}, (2, 3, 4, 5, 6), (FLOAT, INT32)),
    Case("EmbedLayerNormalization", [IDS, SEGMENTS, *TABLES, MASK2[:, :5].copy()], {}, (2, 3, 4, 5, 6), (FLOAT, INT32, FLOAT)),
    Case("EmbedLayerNormalization", [IDS, None, TABLES[0], TABLES[1], None, *TABLES[3:]], {}, (2, 3, 5, 6), (FLOAT, INT32)),
    Case("EmbedLayerNormalization", [IDS, SEGMENTS, *TABLES, None, SEGMENTS + 1], {}, (2, 3, 4, 5, 6), (FLOAT, INT32)),
]

PRODUCTS = [
    *(
        Case(
            "FusedMatMul",
            [(2, 3, 5, 4)[:2] + ((4, 5) if a else (5, 4)), (2, 3) + ((6, 4) if b else (4, 6))],
            {"transA": a, "transB": b, "alpha": 0.5},
        )
        for a in (0, 1)
        for b in (0, 1)
    ),
    *(Case("FusedMatMul", [(5, 2, 3, 4), (4, 2, 3, 6)], {"transBatchA": 1, "transBatchB": 1}) for _ in range(1)),
    Case("FusedMatMul", [(4, 2, 3, 5), (6, 2, 3, 4)], {"transBatchA": 1, "transA": 1, "transBatchB": 1, "transB": 1}),
    Case("FusedMatMul", [(2, 3, 4), (5, 4)], {"transB": 1}, (1,)),
    Case("TransposeMatMul", [(2, 4, 5), (2, 4, 6)], {"transA": 1}),
    Case("FusedGemm", [(3, 4), (4, 5), (5,)], {"activation": "Relu"}, (1, 2)),
    Case(
        "FusedGemm",
        [(4, 3), (5, 4), (5,)],
        {"transA": 1, "transB": 1, "alpha": 0.5, "beta": 2.0, "activation": "LeakyRelu", "activation_alpha": 0.2},
        (1, 2),
    ),
    Case("CDist", [(5, 3), (4, 3)], {"metric": "euclidean"}),
    Case("CDist", [(5, 3), (4, 3)], {"metric": "sqeuclidean"}),
    Case("GatedAdd", [(2, 3, 4), (2, 3, 4), (2, 3, 1)]),
    Case("ScaledSiLU", [(2, 3, 4)], {"alpha": 0.7}),
    Case("GatedRMSNorm", [(2, 3, 8), (4,), (2, 3, 8)], {"epsilon": 1e-5}, (1,)),
    Case("GatedRMSNorm", [(2, 3, 8), (8,), (2, 3, 8)], {"activation": "sigmoid"}, (1,)),
]

PACKED = RANDOM.integers(0, 256, (5, 2, 8)).astype(np.uint8)
WEIGHTS = [
    Case("MatMulNBits", [(2, 3, 32), PACKED, (5, 2)], {"N": 5, "K": 32, "bits": 4, "block_size": 16}, (1, 2)),
    Case("MatMulNBits", [(2, 3, 32), PACKED, (5, 2), stored(5, 1)], {"N": 5, "K": 32, "bits": 4, "block_size": 16}, (1, 2, 3)),
    Case("MatMulNBits", [(2, 3, 24), PACKED, (5, 2), None, None, (5,)], {"N": 5, "K": 24, "bits": 4, "block_size": 16}, (1, 2, 5)),
    Case("MatMulNBits", [(2, 3, 32), stored(5, 2, 16), (5, 2)], {"N": 5, "K": 32, "bits": 8, "block_size": 16}, (1, 2)),
    Case("DynamicQuantizeMatMul", [(2, 3, 8), stored(8, 5, dtype=np.int8), np.array([0.01] * 5, np.float32), None, (5,)], {}, (1, 2, 4)),
    Case("DynamicQuantizeMatMul", [(2, 3, 8), stored(8, 5), scalar(0.02), scalar(117, np.uint8)], {}, (1, 2, 3)),
    Case(
        "MatMulIntegerToFloat",
        [stored(2, 3, 8), stored(8, 5, dtype=np.int8), scalar(0.05), scalar(0.02), scalar(120, np.uint8), scalar(0, np.int8), (5,)],
        {},
        (1, 2, 3, 4, 5, 6),
    ),
    Case(
        "QAttention",
        [stored(2, 6, 8), stored(8, 24, dtype=np.int8), (24,), scalar(0.02), scalar(0.03), ints(6, 4), scalar(128, np.uint8), scalar(0, np.int8)],
        {"num_heads": 2},
        (1, 2, 3, 4, 6, 7),
    ),
]

PICTURE, LAST = (1, 3, 6, 6), (1, 6, 6, 3)
CONVOLUTION = [
    Case("FusedConv", [PICTURE, (4, 3, 3, 3), (4,), (1, 4, 6, 6)], {"pads": [1, 1, 1, 1], "activation": "Relu"}, (1, 2)),
    Case("ConvTransposeWithDynamicPads", [PICTURE, (3, 4, 3, 3), np.array([1, 0, 0, 1]), (4,)], {"strides": [2, 2]}, (1, 2, 3)),
    Case("NhwcMaxPool", [stored(*LAST)], {"kernel_shape": [2, 2], "strides": [2, 2]}, (), (UINT8,)),
    Case("GridSample", [PICTURE, RANDOM.uniform(-1.1, 1.1, (1, 4, 5, 2)).astype(np.float32)], {"mode": "bilinear", "align_corners": 1}),
    Case("GridSample", [PICTURE, RANDOM.uniform(-1.1, 1.1, (1, 4, 5, 2)).astype(np.float32)], {"mode": "bicubic", "padding_mode": "border"}),
]

MOVEMENT = [
    Case("ExpandDims", [(2, 3), scalar(1, np.int32)], {}, (1,)),
    Case("ExpandDims", [(2, 3), scalar(-1, np.int32)], {}, (1,)),
    Case("GatherND", [(2, 3, 4), ints([0, 1], [1, 2])], {}, (1,)),
    Case("Pad", [(2, 3), np.array([[1, 0, 2, 1]]), scalar(0.5).reshape(1)], {}, (1, 2)),
    Case("Pad", [(2, 3), np.array([1, 0, 1, 2])], {"mode": "reflect"}, (1,)),
    Case("Trilu", [(4, 5), scalar(1, np.int64)], {"upper": 0}, (1,)),
    Case("SampleOp", [(2, 3)]),
    Case("QuantizeLinear", [(2, 3), scalar(0.02), scalar(3, np.uint8)], {}, (1, 2), (UINT8,)),
    Case("DequantizeLinear", [stored(2, 3), scalar(0.02), scalar(3, np.uint8)], {}, (1, 2)),
]

EXPERIMENTAL = [
    Case("Affine", [(2, 3)], {"alpha": 0.5, "beta": 2.0}, domain="", opset=8),
    Case("ImageScaler", [PICTURE], {"scale": 0.5, "bias": [0.1, 0.2, 0.3]}, domain="", opset=8),
    Case("ParametricSoftplus", [(2, 3)], {"alpha": 0.5, "beta": 2.0}, domain="", opset=8),
    Case("ScaledTanh", [(2, 3)], {"alpha": 0.5, "beta": 2.0}, domain="", opset=8),
]


@pytest.mark.parametrize("case", [*ATTENTION, *ROTARY, *EMBEDDING, *PRODUCTS, *WEIGHTS, *CONVOLUTION, *MOVEMENT, *EXPERIMENTAL], ids=str)
def test_the_spelling_gives_what_the_kernel_gives(case: Case) -> None:
    assert difference(case) < AGREEMENT


S, Z = scalar(0.02), scalar(120, np.uint8)
INTEGERS = [
    Case("QLinearAdd", [stored(2, 3), S, Z, stored(2, 3), scalar(0.01), scalar(3, np.uint8), scalar(0.03), Z], {}, (1, 2, 4, 5, 6, 7)),
    Case("QLinearMul", [stored(2, 3), S, Z, stored(2, 3), S, Z, scalar(0.03), Z], {}, (1, 2, 4, 5, 6, 7)),
    Case("QLinearSigmoid", [stored(2, 30), S, Z, scalar(1 / 256), scalar(0, np.uint8)], {}, (1, 2, 3, 4)),
    Case("QLinearLeakyRelu", [stored(2, 30), S, Z, S, Z], {"alpha": 0.1}, (1, 2, 3, 4)),
    Case("QLinearConcat", [S, Z, stored(2, 3), S, Z, stored(2, 4), scalar(0.01), Z], {"axis": 1}, (0, 1, 3, 4, 6, 7)),
    Case("QLinearGlobalAveragePool", [stored(*PICTURE), S, Z, S, Z], {}, (1, 2, 3, 4)),
    Case("QLinearGlobalAveragePool", [stored(*LAST), S, Z, S, Z], {"channels_last": 1}, (1, 2, 3, 4)),
    Case("QLinearAveragePool", [stored(*PICTURE), S, Z, S, Z], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}, (1, 2, 3, 4)),
    Case("QLinearAveragePool", [stored(*LAST), S, Z, S, Z], {"kernel_shape": [2, 2], "strides": [2, 2], "channels_last": 1}, (1, 2, 3, 4)),
    Case("QLinearSoftmax", [stored(2, 30), S, Z, scalar(1 / 256), scalar(0, np.uint8)], {"axis": -1, "opset": 13}, (1, 2, 3, 4)),
    Case("QLinearWhere", [RANDOM.integers(0, 2, (2, 3)) > 0, stored(2, 3), S, Z, stored(2, 3), S, Z, S, Z], {}, (2, 3, 5, 6, 7, 8)),
    Case(
        "QLinearConv",
        [stored(*LAST), S, Z, stored(4, 3, 3, 3), scalar(0.01), Z, scalar(0.1), Z, ints(100, 200, -300, 0)],
        {"channels_last": 1, "pads": [1, 1, 1, 1], "kernel_shape": [3, 3]},
        (1, 2, 3, 4, 5, 6, 7, 8),
    ),
    Case("QGemm", [stored(3, 4), S, Z, stored(4, 5), S, Z, ints(1, 200, -300, 0, 5), scalar(0.1), Z], {"alpha": 1.0}, (1, 2, 3, 4, 5, 6, 7, 8)),
]  # fmt: skip


@pytest.mark.parametrize("case", INTEGERS, ids=str)
def test_an_operator_on_integers_is_off_by_one_step_at_most(case: Case) -> None:
    """The kernels round in fixed point or by table; where the float result lies half-way they may choose the other neighbour."""
    kind = case.outputs[0] if case.outputs != (FLOAT,) else UINT8
    assert difference(replace(case, outputs=(kind,))) <= 1 / 100


def test_a_product_of_integers_may_stay_float() -> None:
    operands = [stored(3, 4), S, Z, stored(5, 4, dtype=np.int8), np.full(5, 0.01, np.float32), np.zeros(5, np.int8)]
    assert difference(Case("QGemm", operands, {"transB": 1}, (1, 2, 3, 4, 5))) < AGREEMENT
