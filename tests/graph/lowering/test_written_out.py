"""Operators that are written out because TFLite or its converter does not have them: the operator goes, the numbers stay, onnxruntime is the judge."""

import numpy as np
import onnx_ir as ir
import pytest
from onnx_text import Normalize, constant

LEAST_DB = 110  # another order of the same float32 sums


def integers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


CONV = "(float[1, 4, 7, 6] x, float[6, 2, 3, 2] w, float[6] b) => (float[N, C, H, W] y)"
BACK = "(float[1, 4, 4, 5] x, float[4, 3, 3, 2] w, float[6] b) => (float[N, C, H, W] y)"
PLANE = "(float[2, 3, 7, 6] x) => (float[N, C, H, W] y)"
CUBE = "(float[1, 2, 5, 6, 4] x) => (float[N, C, D, H, W] y)"
LSTM = "(float[4, 2, 3] x, float[2, 20, 3] w, float[2, 20, 5] r, float[2, 40] b, float[2, 2, 5] h, float[2, 2, 5] c, float[2, 15] p)"
GRU = "(float[4, 2, 3] x, float[1, 15, 3] w, float[1, 15, 5] r, float[1, 30] b) => (float[T, D, B, H] y, float[D, B, H] z)"
CASES = [
    ("Conv", CONV + " { y = Conv<group = 2, strides = [2, 1], pads = [1, 0, 1, 2], dilations = [1, 2]>(x, w, b) }", {}),
    ("Conv", CONV + ' { y = Conv<group = 2, strides = [2, 2], auto_pad = "SAME_LOWER">(x, w) }', {}),
    ("Conv", "(float[2, 3, 8] x, float[5, 3, 1] w) => (float[N, C, L] y) { y = Conv(x, w) }", {}),
    ("ConvTranspose", BACK + " { y = ConvTranspose<group = 2, strides = [2, 1], dilations = [1, 2], pads = [1, 0, 0, 1]>(x, w, b) }", {}),
    ("ConvTranspose", BACK + " { y = ConvTranspose<group = 2, strides = [3, 2], output_padding = [1, 1]>(x, w) }", {}),
    ("ConvTranspose", BACK + " { y = ConvTranspose<group = 2, strides = [2, 2], output_shape = [9, 10]>(x, w) }", {}),
    ("ConvTranspose", "(float[1, 2, 4] x, float[2, 3, 1] w) => (float[N, C, L] y) { y = ConvTranspose<pads = [1, 1]>(x, w) }", {}),
    ("AveragePool", PLANE + " { y = AveragePool<kernel_shape = [3, 2], dilations = [2, 1], pads = [1, 0, 1, 1], strides = [1, 2]>(x) }", {}),
    ("AveragePool", PLANE + " { y = AveragePool<kernel_shape = [2, 2], dilations = [2, 2], pads = [1, 1, 1, 1], count_include_pad = 1>(x) }", {}),
    ("AveragePool", CUBE + " { y = AveragePool<kernel_shape = [2, 3, 2], strides = [2, 1, 2], ceil_mode = 1>(x) }", {}),
    ("MaxPool", CUBE + " { y = MaxPool<kernel_shape = [2, 3, 2], strides = [1, 2, 1], pads = [0, 1, 0, 1, 1, 0]>(x) }", {}),
    ("MaxPool", PLANE + " { y = MaxPool<kernel_shape = [2, 2], dilations = [3, 2]>(x) }", {}),
    ("LpPool", PLANE + " { y = LpPool<kernel_shape = [3, 2], strides = [2, 1], pads = [1, 0, 1, 1]>(x) }", {}),
    ("LpPool", PLANE + " { y = LpPool<kernel_shape = [3, 2], p = 1>(x) }", {}),
    ("LpPool", PLANE + " { y = LpPool<kernel_shape = [2, 2], p = 3>(x) }", {}),
    ("OneHot", "(int64[3, 4] i, float[2] v) => (float[N, M, K] y) { y = OneHot<axis = 1>(i, d, v) }", {"d": integers(5)}),
    ("OneHot", "(float[2] v) => (float[N, K] y) { y = OneHot(i, d, v) }", {"d": integers(5), "i": integers(0, -1, 4, 7, -6)}),
    ("DFT", "(float[2, 6, 2] x) => (float[N, M, K] y) { y = DFT<inverse = 1>(x) }", {}),
    ("DFT", "(float[2, 7, 1] x) => (float[N, M, K] y) { y = DFT<onesided = 1>(x, n, a) }", {"n": np.array(6), "a": np.array(1)}),
    ("DFT", "(float[6, 2, 2] x) => (float[N, M, K] y) { y = DFT(x, , a) }", {"a": np.array(0)}),
    ("STFT", "(float[1, 32, 1] x, float[8] w) => (float[N, M, K, P] y) { y = STFT(x, s, w) }", {"s": np.array(4)}),
    ("STFT", "(float[1, 32, 1] x) => (float[N, M, K, P] y) { y = STFT<onesided = 0>(x, s, , n) }", {"s": np.array(8), "n": np.array(16)}),
    ("LSTM", LSTM + ' => (float[T, D, B, H] y, float[D, B, H] z, float[D, B, H] q) { y, z, q = LSTM<hidden_size = 5, direction = "bidirectional">(x, w, r, b, , h, c, p) }', {}),
    ("GRU", GRU + " { y, z = GRU<hidden_size = 5>(x, w, r, b) }", {}),
    ("GRU", GRU + ' { y, z = GRU<hidden_size = 5, direction = "reverse", linear_before_reset = 1>(x, w, r) }', {}),
    ("GRU", GRU + " { y, z = GRU<hidden_size = 5>(x, w, r, b, l) }", {"l": np.array([4, 2], np.int32)}),
    ("RNN", '(float[3, 2, 4] x, float[1, 5, 4] w, float[1, 5, 5] r) => (float[T, D, B, H] y, float[D, B, H] z) { y, z = RNN<hidden_size = 5, activations = ["Relu"]>(x, w, r) }', {}),
    ("ScatterElements", '(float[4, 3] x, float[2, 3] u) => (float[N, M] y) { y = ScatterElements<axis = 0, reduction = "add">(x, i, u) }', {"i": np.array([[1, -1, 0], [1, 2, -4]])}),
    ("ScatterElements", '(float[4, 3] x, float[2, 3] u) => (float[N, M] y) { y = ScatterElements<axis = 0, reduction = "mul">(x, i, u) }', {"i": np.array([[1, -1, 0], [1, 2, -4]])}),
    ("ScatterND", '(float[4, 3] x, float[2, 3] u) => (float[N, M] y) { y = ScatterND<reduction = "max">(x, i, u) }', {"i": np.array([[1], [1]])}),
    ("ScatterND", '(float[4, 3] x, float[2] u) => (float[N, M] y) { y = ScatterND<reduction = "min">(x, i, u) }', {"i": np.array([[1, -1], [0, 2]])}),
    ("Softplus", "(float[64] r) => (float[N] y) { x = Mul(r, k) y = Softplus(x) }", {"k": np.array(20, np.float32)}),
    ("Mish", PLANE + " { y = Mish(x) }", {}),
    ("Scan", "(float[3] s, float[4, 3] x) => (float[M] t, float[N, M] y) { t, y = Scan<num_scan_inputs = 1, body = g (float[3] a, float[3] b) => (float[3] c, float[3] d) { c = Add(a, b) d = Tanh(c) }>(s, x) }", {}),
    ("SoftmaxCrossEntropyLoss", "(float[3, 5] x, float[5] w) => (float y) { y = SoftmaxCrossEntropyLoss(x, t, w) }", {"t": integers(1, 0, 4)}),
    ("QuantizeLinear", "(float[2, 3, 4] x, float[3] s) => (uint8[N, M, K] y) { p = Abs(s) q = Add(p, o) y = QuantizeLinear<axis = 1>(x, q, z) }", {"z": np.array([3, 128, 250], np.uint8), "o": np.array(0.01, np.float32)}),
    ("DequantizeLinear", "(int8[4, 3] x, float[2, 3] s) => (float[N, M] y) { y = DequantizeLinear<axis = 0, block_size = 2>(x, s) }", {}),
]  # fmt: skip


@pytest.mark.parametrize(("op_type", "text", "constants"), CASES, ids=[f"{index} {case[0]}" for index, case in enumerate(CASES)])
def test_an_operator_is_written_out(normalized: Normalize, op_type: str, text: str, constants: dict[str, np.ndarray]) -> None:
    result = normalized(text, opset=21 if op_type != "Mish" else 18, constants=constants)
    assert op_type not in result.ops
    assert result.worst_sqnr_db() > LEAST_DB


def test_infinity_is_told_by_the_largest_float(normalized: Normalize) -> None:
    text = "(float[4] x) => (bool[N] y, bool[N] z) { y = Equal(x, a) z = Equal(b, x) }"
    result = normalized(text, opset=21, constants={"a": np.array(-np.inf, np.float32), "b": np.array(np.inf, np.float32)})
    assert result.ops == ["LessOrEqual", "GreaterOrEqual"]
    assert result.worst_sqnr_db({"x": np.array([-np.inf, np.inf, 3e38, -3e38], np.float32)}) == float("inf")


def test_the_indices_of_a_max_pool_are_places_in_the_flattened_input(normalized: Normalize) -> None:
    text = "(float[2, 3, 7, 6] x) => (float[N, C, H, W] y, int64[N, C, H, W] i) { y, i = MaxPool<kernel_shape = [3, 2], strides = [2, 1], pads = [1, 0, 0, 1], storage_order = ORDER>(x) }"
    for order in ("0", "1"):
        result = normalized(text.replace("ORDER", order), opset=21)
        assert "MaxPool" not in result.ops
        assert result.worst_sqnr_db() == float("inf")


def test_the_last_of_equal_elements_is_counted_from_behind(normalized: Normalize) -> None:
    text = "(float[2, 5] x) => (int64[N, M] y) { r = Round(x) y = ArgMax<axis = 1, select_last_index = 1>(r) }"
    result = normalized(text, opset=21)
    assert result.node("ArgMax_1").attributes.get("select_last_index", 0) in (0, "0")
    assert result.worst_sqnr_db() == float("inf")


def test_computed_indices_may_be_negative(normalized: Normalize) -> None:
    result = normalized("(float[4, 3] x, int64[2, 3] i) => (float[N, M] y) { y = GatherElements(x, i) }", opset=21)
    feeds = {"x": np.arange(12, dtype=np.float32).reshape(4, 3), "i": np.array([[-1, 0, 3], [2, -4, -2]])}
    assert result.worst_sqnr_db(feeds) == float("inf")
    assert {"Less", "Add"} <= set(result.ops)


def test_indices_that_count_are_not_touched(normalized: Normalize) -> None:
    text = "(float[4, 3] x) => (float[N, M] y, float[N, M] v) { v, i = TopK<axis = 0>(x, k) y = GatherElements<axis = 0>(x, i) }"
    assert normalized(text, opset=21, constants={"k": integers(2)}).ops == ["TopK", "GatherElements"]


def test_constant_weights_stay_weights(normalized: Normalize) -> None:
    weights = {"w": np.ones((6, 2, 3, 2), np.float32), "b": np.ones(6, np.float32)}
    text = "(float[1, 4, 7, 6] x) => (float[N, C, H, W] y) { y = Conv<group = 2>(x, w, b) }"
    result = normalized(text, opset=21, constants=weights)
    assert result.ops == ["Conv"]
    assert constant(result.graph.model.graph.node(0).inputs[1]).shape == (6, 2, 3, 2)
    assert isinstance(result.graph.model, ir.Model)
