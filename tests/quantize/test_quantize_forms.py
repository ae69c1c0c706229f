"""Scales and zero points, by the formulas of the TFLite quantization specification."""

import numpy as np
import pytest

from bridge.quantize.forms import FLOAT, SMALLEST_SCALE, Form, asymmetric, holds, quantize_values, symmetric
from bridge.types import TensorRange


@pytest.mark.parametrize(
    ("low", "high", "scale", "zero_point"),
    [
        (-1.0, 1.55, 0.01, -28),
        (0.0, 2.55, 0.01, -128),
        (-2.55, 0.0, 0.01, 127),
        (1.0, 2.55, 0.01, -128),  # widened to zero
        (-2.55, -1.0, 0.01, 127),
        (0.0, 0.0, 1 / 255, -128),  # nothing but zero: the unit range
        (0.0, 1e-30, SMALLEST_SCALE, -128),
        (-1e30, 1e30, 2e30 / 255, 0),
    ],
)
def test_asymmetric_form_spans_the_range_and_zero(low: float, high: float, scale: float, zero_point: int) -> None:
    form = asymmetric(TensorRange(low, high))
    assert (form.type, form.zero_point) == ("INT8", zero_point)
    assert form.scale == pytest.approx(scale, rel=1e-6)


@pytest.mark.parametrize(("low", "high", "scale"), [(-1.27, 0.5, 0.01), (-0.5, 1.27, 0.01), (0.5, 1.27, 0.01), (0.0, 0.0, 1 / 127)])
def test_symmetric_form_has_zero_point_0(low: float, high: float, scale: float) -> None:
    form = symmetric(TensorRange(low, high))
    assert form.zero_point == 0
    assert form.scale == pytest.approx(scale, rel=1e-6)


@pytest.mark.parametrize("low", [-3.0, -0.7, 0.0])
def test_zero_is_stored_exactly(low: float) -> None:
    form = asymmetric(TensorRange(low, 1.0))
    assert quantize_values(np.array([0], np.float32), form)[0] == form.zero_point


def test_a_scale_is_what_float32_can_hold() -> None:
    form = asymmetric(TensorRange(-0.1, 0.3))
    assert form.scale == float(np.float32(form.scale))


def test_values_are_rounded_half_to_even_and_saturated() -> None:
    form = Form("INT8", (0.5,), (3,))
    assert quantize_values(np.array([0, 0.25, 0.75, 1, 1e6, -1e6], np.float32), form).tolist() == [3, 3, 5, 5, 127, -128]


def test_channels_have_their_own_scale() -> None:
    stored = quantize_values(np.array([[1, 2], [1, 2]], np.float32), Form("INT8", (1.0, 0.5), (0, 0), axis=1))
    assert stored.tolist() == [[1, 4], [1, 4]]
    assert stored.dtype == np.int8


def test_one_channel_alone_is_per_tensor() -> None:
    assert quantize_values(np.array([[3.0]], np.float32), Form("INT32", (0.5,), (0,), axis=0)).tolist() == [[6]]


def test_a_form_holds_a_range_up_to_one_step() -> None:
    form = Form("INT8", (1.0,), (0,))
    assert holds(form, TensorRange(-128, 127))
    assert holds(form, TensorRange(-129, 128))
    assert not holds(form, TensorRange(-129.5, 0))
    assert not holds(form, TensorRange(0, 128.5))


def test_float_has_no_scales() -> None:
    assert FLOAT.scales == ()
