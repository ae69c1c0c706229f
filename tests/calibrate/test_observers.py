import numpy as np
import pytest

from bridge.calibrate.observers import OBSERVERS, PIECE, MinMax
from bridge.types import TensorRange


def test_the_range_is_that_of_all_values() -> None:
    observer = MinMax(2, 3)
    for position, (low, high) in enumerate([(-1.0, 2.0), (-3.0, 1.0), (0.0, 5.0)]):
        observer.observe(position, [np.array([[low, high]], np.float32), np.array(high, np.float32)])
    assert observer.ranges() == [TensorRange(-3.0, 5.0), TensorRange(1.0, 5.0)]


@pytest.mark.parametrize("size", [PIECE, PIECE + 1, 3 * PIECE + 7])
def test_large_values_are_seen_to_their_end(size: int) -> None:
    value = np.zeros(size, np.float32)
    value[-1], value[size // 2] = 4.0, -2.0
    observer = MinMax(1, 1)
    observer.observe(0, [value])
    assert observer.ranges() == [TensorRange(-2.0, 4.0)]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("size", [4, 2 * PIECE])
def test_a_value_that_is_not_finite_is_counted_and_left_out(bad: float, size: int) -> None:
    value = np.ones(size, np.float32)
    value[1], value[2] = bad, -3.0
    observer = MinMax(2, 2)
    observer.observe(0, [np.zeros(0, np.float32), value])
    observer.observe(1, [np.zeros(0, np.float32), np.full(2, bad, np.float32)])
    assert observer.ranges() == [TensorRange(0.0, 0.0), TensorRange(-3.0, 1.0)]
    assert observer.non_finite() == {1: 2}


def test_the_widest_float32_range_is_finite() -> None:
    limit = float(np.finfo(np.float32).max)
    observer = MinMax(1, 1)
    observer.observe(0, [np.array([-limit, limit], np.float32)])
    assert observer.ranges() == [TensorRange(-limit, limit)]
    assert observer.non_finite() == {}


def test_an_empty_value_says_nothing() -> None:
    observer = MinMax(1, 1)
    observer.observe(0, [np.zeros((0, 3), np.float32)])
    assert observer.ranges() == [TensorRange(0.0, 0.0)]
    assert observer.non_finite() == {}


def test_merged_observers_saw_all() -> None:
    values = np.random.default_rng(0).standard_normal((8, 5)).astype(np.float32)
    alone, first, second = MinMax(1, 8), MinMax(1, 8), MinMax(1, 8)
    for position, value in enumerate(values):
        alone.observe(position, [value])
        (first if position % 3 else second).observe(position, [value])
    first.merge(second)
    assert first.ranges() == alone.ranges() == [TensorRange(float(values.min()), float(values.max()))]
    np.testing.assert_array_equal(first.growth(), alone.growth())


def test_growth_is_the_share_that_the_last_quarter_added() -> None:
    observer = MinMax(3, 4)
    for position, high in enumerate([1.0, 3.0, 2.0, 4.0]):
        observer.observe(position, [np.array(value, np.float32) for value in ([0.0, high], [-1.0, 1.0], [7.0])])
    np.testing.assert_allclose(observer.growth(), [0.25, 0.0, 0.0])


def test_the_table_names_its_observers() -> None:
    assert list(OBSERVERS) == ["min_max"]
