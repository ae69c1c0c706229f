import numpy as np
import pytest

from bridge.calibrate.extents import PIECE, Extents
from bridge.types import TensorRange


def test_the_range_is_that_of_all_values() -> None:
    extents = Extents(2)
    for position, (low, high) in enumerate([(-1.0, 2.0), (-3.0, 1.0), (0.0, 5.0)]):
        extents.observe(position, [np.array([[low, high]], np.float32), np.array(high, np.float32)])
    assert extents.ranges() == [TensorRange(-3.0, 5.0), TensorRange(1.0, 5.0)]


@pytest.mark.parametrize("size", [PIECE, PIECE + 1, 3 * PIECE + 7])
def test_large_values_are_seen_to_their_end(size: int) -> None:
    value = np.zeros(size, np.float32)
    value[-1], value[size // 2] = 4.0, -2.0
    extents = Extents(1)
    extents.observe(0, [value])
    assert extents.ranges() == [TensorRange(-2.0, 4.0)]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("size", [4, 2 * PIECE])
def test_a_value_that_is_not_finite_is_counted_and_left_out(bad: float, size: int) -> None:
    value = np.ones(size, np.float32)
    value[1], value[2] = bad, -3.0
    extents = Extents(2)
    extents.observe(0, [np.zeros(0, np.float32), value])
    extents.observe(1, [np.zeros(0, np.float32), np.full(2, bad, np.float32)])
    assert extents.ranges() == [TensorRange(0.0, 0.0), TensorRange(-3.0, 1.0)]
    assert extents.non_finite() == {1: 2}


def test_the_widest_float32_range_is_finite() -> None:
    limit = float(np.finfo(np.float32).max)
    extents = Extents(1)
    extents.observe(0, [np.array([-limit, limit], np.float32)])
    assert extents.ranges() == [TensorRange(-limit, limit)]
    assert extents.non_finite() == {}


def test_an_empty_value_says_nothing() -> None:
    extents = Extents(1)
    extents.observe(0, [np.zeros((0, 3), np.float32)])
    assert extents.ranges() == [TensorRange(0.0, 0.0)]
    assert extents.non_finite() == {}


def test_merged_extents_saw_all() -> None:
    values = np.random.default_rng(0).standard_normal((8, 5)).astype(np.float32)
    alone, first, second = Extents(1), Extents(1), Extents(1)
    for position, value in enumerate(values):
        alone.observe(position, [value])
        (first if position % 3 else second).observe(position, [value])
    first.merge(second)
    assert first.ranges() == alone.ranges() == [TensorRange(float(values.min()), float(values.max()))]
    np.testing.assert_array_equal(first.curve(), alone.curve())


def test_samples_sorted_by_class_do_not_look_as_if_ranges_grew() -> None:
    extents = Extents(1)
    for position in range(40):
        extents.observe(position, [np.array([0.0, 1.0 if position < 30 else 2.0], np.float32)])
    np.testing.assert_array_equal(extents.curve(), np.ones((4, 1)))


def test_the_curve_is_the_share_of_the_final_width_after_each_quarter() -> None:
    extents = Extents(4)
    for position, high in enumerate([1.0, 3.0, 2.0, 4.0]):
        late = np.array([5.0, 7.0] if position == 2 else [], np.float32)
        extents.observe(position, [np.array([0.0, high], np.float32), np.array([-1.0, 1.0], np.float32), np.array([7.0], np.float32), late])
    np.testing.assert_allclose(extents.curve(), np.array([[0.25, 1, 1, 0], [0.75, 1, 1, 0], [0.75, 1, 1, 1], [1, 1, 1, 1]]))
