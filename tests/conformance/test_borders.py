"""QUANTIZE and DEQUANTIZE, which no rule asks for but every border needs, on all kernels."""

import numpy as np
import pytest
from case_data import EXACT, TWO_ROUNDINGS, normal
from one_op import OneOp, differences, with_forms

from bridge.quantize.forms import Form, asymmetric, quantize_values
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter, Kernels
from bridge.types import TensorRange

ALL: tuple[Kernels, ...] = ("optimized", "builtin", "reference")
SPANS = {"both-sides": (-3.0, 4.0), "positive": (0.0, 5.0), "negative": (-2.0, 0.0), "tiny": (-1e-7, 3e-7), "huge": (-1e8, 1e7)}


def between(low: float, high: float) -> Form:
    return asymmetric(TensorRange(low, high))


@pytest.mark.parametrize("kernels", ALL)
@pytest.mark.parametrize(("low", "high"), SPANS.values(), ids=SPANS)
def test_quantize_rounds_and_saturates_like_the_formula(low: float, high: float, kernels: Kernels) -> None:
    values = np.linspace(2 * low - 1e-9, 2 * high + 1e-9, 1001, dtype=np.float32)
    form = between(low, high)
    model = with_forms(OneOp("QUANTIZE", {0: values[None]}, [(1001,)]), {"out0": form}, 1)
    (got,) = Interpreter(tflite.serialize(model), kernels=kernels).run({"in0": values})
    # Scales are float32 and some kernels multiply by their reciprocal: a value half-way between two steps can go either way.
    assert np.abs(got.astype(int) - quantize_values(values, form)).max() <= 1
    assert np.mean(got != quantize_values(values, form)) < 0.01


@pytest.mark.parametrize("kernels", ALL)
@pytest.mark.parametrize(("low", "high"), SPANS.values(), ids=SPANS)
def test_dequantize_is_exact_to_a_small_part_of_a_step(low: float, high: float, kernels: Kernels) -> None:
    form = between(low, high)
    stored = np.arange(-128, 128, dtype=np.int8)
    model = with_forms(OneOp("DEQUANTIZE", {0: normal(256)}, [(256,)]), {"in0": form}, 2)
    (got,) = Interpreter(tflite.serialize(model), kernels=kernels).run({"in0": stored})
    exact = (stored.astype(np.float64) - form.zero_point) * form.scale
    assert np.abs(got - exact).max() <= 1e-4 * form.scale  # some kernels multiply and add in float32


@pytest.mark.parametrize("kernels", ALL)
@pytest.mark.parametrize("ratio", [1e-4, 0.01, 0.3, 0.9, 1.1, 3.0, 100.0, 1e4])
def test_requantize_hits_the_value_at_any_ratio_of_scales(ratio: float, kernels: Kernels) -> None:
    op = OneOp("QUANTIZE", {0: normal(3, 50)}, [(3, 50)])
    (off,) = differences(with_forms(op, {"in0": between(-2, 3), "out0": between(-3 * ratio, 2 * ratio)}, 1), op.samples(), kernels)
    assert np.abs(off).max() <= TWO_ROUNDINGS  # XNNPACK's multipliers have 8 bits behind the point: up to 0.71 steps were seen


@pytest.mark.parametrize("kernels", ALL)
@pytest.mark.parametrize("into", ["INT8", "UINT8"])
def test_int8_and_uint8_of_one_scale_are_exchanged_exactly(into: str, kernels: Kernels) -> None:
    int8 = between(-2, 3)
    uint8 = Form("UINT8", int8.scales, (int8.zero_point + 128,))
    forms = {"in0": uint8, "out0": int8} if into == "INT8" else {"in0": int8, "out0": uint8}
    op = OneOp("QUANTIZE", {0: normal(3, 50)}, [(3, 50)])
    (off,) = differences(with_forms(op, forms, 1), op.samples(), kernels)
    assert np.abs(off).max() <= EXACT["steps"]
