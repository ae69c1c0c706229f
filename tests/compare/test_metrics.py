import math

import numpy as np
import pytest

from bridge.compare.forms import Form
from bridge.compare.metrics import METRICS, PIECE, ErrorSums, cosine, max_abs, mean_abs, rmse, sqnr_db

R = np.random.default_rng(0).standard_normal(PIECE + 777).astype(np.float32)
C = R + np.random.default_rng(1).standard_normal(R.size).astype(np.float32) / 50


def sums(reference: np.ndarray, candidate: np.ndarray, form: Form | None = None) -> ErrorSums:
    result = ErrorSums()
    result.add(reference, candidate, form)
    return result


def test_measures_follow_their_formulas() -> None:
    r, c = R.astype(np.float64), C.astype(np.float64)
    found = sums(R, C)
    # float32 sums of 65536 elements: 1e-6 each way.
    assert sqnr_db(found) == pytest.approx(10 * np.log10((r**2).sum() / ((r - c) ** 2).sum()), abs=1e-4)
    assert cosine(found) == pytest.approx((r @ c) / np.linalg.norm(r) / np.linalg.norm(c), abs=1e-6)
    assert max_abs(found) == pytest.approx(np.abs(r - c).max(), rel=1e-5)
    assert mean_abs(found) == pytest.approx(np.abs(r - c).mean(), rel=1e-5)
    assert rmse(found) == pytest.approx(np.sqrt(((r - c) ** 2).mean()), rel=1e-5)


def test_sums_of_parts_are_the_sums_of_the_whole() -> None:
    whole, parts = sums(R, C), ErrorSums()
    for start in range(0, R.size, 10_000):
        parts.merge(sums(R[start : start + 10_000], C[start : start + 10_000]))
    for metric in METRICS.values():
        assert metric.compute(parts) == pytest.approx(metric.compute(whole), rel=1e-5)
    assert parts.count == R.size


def test_integers_are_compared_as_what_they_stand_for() -> None:
    form = Form(0.5, -3)
    found = sums(np.array([1.0, 2.0], np.float32), np.array([-1, 2], np.int8), form)  # 1.0 and 2.5
    assert max_abs(found) == 0.5
    assert sqnr_db(found) == pytest.approx(10 * math.log10(5 / 0.25))


def test_equal_tensors_have_infinite_decibels_also_when_all_is_zero() -> None:
    for value in (R, np.zeros(5, np.float32)):
        found = sums(value, value.copy())
        assert sqnr_db(found) == math.inf
        assert cosine(found) == 1.0
        assert max_abs(found) == 0.0


def test_an_all_zero_reference_has_no_signal() -> None:
    found = sums(np.zeros(3, np.float32), np.array([0.0, 0.1, 0.0], np.float32))
    assert sqnr_db(found) == -math.inf
    assert cosine(found) == 0.0


def test_an_empty_tensor_counts_as_equal() -> None:
    found = sums(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32))
    assert sqnr_db(found) == math.inf
    assert (mean_abs(found), rmse(found), cosine(found)) == (0.0, 0.0, 1.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_candidate_that_is_not_finite_has_an_infinite_error(bad: float) -> None:
    candidate = R.copy()
    candidate[3] = bad
    found = sums(R, candidate)
    assert sqnr_db(found) == -math.inf
    assert max_abs(found) == rmse(found) == math.inf
    assert math.isfinite(cosine(found))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_elements_whose_reference_is_not_finite_are_left_out(bad: float) -> None:
    found = sums(np.array([1.0, bad, 2.0], np.float32), np.array([1.5, 7.0, 2.0], np.float32))
    assert found.count == 2
    assert sqnr_db(found) == pytest.approx(10 * math.log10(5 / 0.25))


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_squares_beyond_float32_are_summed_all_the_same(scale: float) -> None:
    found = sums((R * np.float32(scale)).astype(np.float32), (C * np.float32(scale)).astype(np.float32))
    assert sqnr_db(found) == pytest.approx(sqnr_db(sums(R, C)), abs=0.05)  # float32 values of 1e-25 keep all their digits, those of R - C not


def test_large_integers_do_not_lose_their_last_digits() -> None:
    found = sums(np.array([2**40, 3], np.int64), np.array([2**40 + 1, 3], np.int64))
    assert max_abs(found) == 1.0


def test_another_number_of_elements_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="3 elements cannot be compared with 4"):
        sums(np.zeros(3), np.zeros(4))


def test_each_row_of_the_table_has_its_name() -> None:
    assert list(METRICS) == [metric.name for metric in METRICS.values()] == ["sqnr_db", "cosine", "max_abs", "mean_abs", "rmse"]
