"""Scales of weights and biases."""

import numpy as np
import pytest

from bridge.quantize.forms import quantize_values
from bridge.quantize.weights import LARGEST_BIAS, bias_form, largest_weight_scale, weight_form

WEIGHT = np.array([[127, -3], [0.5, -1.27], [0, 0]], np.float32)


def test_every_channel_has_its_own_symmetric_scale() -> None:
    form = weight_form(WEIGHT, 0, type_name="INT8", input_scale=0.1, bias=None)
    assert form.scales == pytest.approx((1.0, 0.01, 1.0), rel=1e-6)  # a channel of zeros: the largest channel's
    assert form.zero_points == (0, 0, 0)
    stored = quantize_values(WEIGHT, form)
    assert stored.tolist() == [[127, -3], [50, -127], [0, 0]]


def test_the_channel_axis_can_be_the_last() -> None:
    form = weight_form(np.ones((1, 3, 3, 4), np.float32) * np.array([1, 2, 3, 4], np.float32), 3, type_name="INT8", input_scale=1.0, bias=None)
    assert form.axis == 3
    assert form.scales == pytest.approx(np.arange(1, 5) / 127, rel=1e-6)


def test_zero_stays_zero() -> None:
    weight = np.array([[0, 1.3, 0, -0.7]], np.float32)
    stored = quantize_values(weight, weight_form(weight, 0, type_name="INT8", input_scale=1.0, bias=None))
    assert stored[0, 0] == stored[0, 2] == 0


def test_weights_of_zeros_only_have_a_usable_scale() -> None:
    form = weight_form(np.zeros((2, 3), np.float32), 0, type_name="INT8", input_scale=1.0, bias=np.array([1, 1], np.float32))
    assert form.scales == pytest.approx((1 / 127, 1 / 127))


def test_a_bias_has_the_scale_of_the_accumulator() -> None:
    weight = weight_form(WEIGHT, 0, type_name="INT8", input_scale=0.1, bias=None)
    form = bias_form(weight, 0, type_name="INT32", input_scale=0.1)
    assert form.type == "INT32"
    assert form.scales == pytest.approx((0.1, 0.001, 0.1), rel=1e-6)


@pytest.mark.parametrize("bias", [5.0, -5.0])
def test_a_bias_that_would_not_fit_into_int32_gets_a_larger_scale(bias: float) -> None:
    values = np.array([bias], np.float32)
    form = weight_form(np.array([[1e-20, 1e-20]], np.float32), 0, type_name="INT8", input_scale=0.1, bias=values)
    stored = quantize_values(values, bias_form(form, 0, type_name="INT32", input_scale=0.1))
    assert abs(abs(int(stored[0])) - LARGEST_BIAS["INT32"]) < 1000  # float32 scales have 24 bits
    assert int(stored[0]) * form.scale * 0.1 == pytest.approx(bias, rel=1e-6)


def test_an_ordinary_bias_changes_nothing() -> None:
    without = weight_form(WEIGHT[:2], 0, type_name="INT8", input_scale=0.1, bias=None)
    assert weight_form(WEIGHT[:2], 0, type_name="INT8", input_scale=0.1, bias=np.array([5, -5], np.float32)) == without


@pytest.mark.parametrize("bias", [0.0, 5.0, 5e12])
@pytest.mark.parametrize("weight", [0.0, 1e-20, 3.0])
def test_the_largest_weight_scale_is_what_the_channels_get(weight: float, bias: float) -> None:
    form = weight_form(
        np.array([[weight, 0], [weight / 2, 0]], np.float32), 0, type_name="INT8", input_scale=0.1, bias=np.array([0, bias], np.float32)
    )
    assert largest_weight_scale(weight, bias, type_name="INT8", input_scale=0.1) == pytest.approx(max(form.scales), rel=1e-6)
