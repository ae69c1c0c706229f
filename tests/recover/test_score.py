"""When a result counts as better."""

import numpy as np
import pytest

from bridge.recover.score import HIGHEST_DB, LOWEST_DB, Score, score


def noisy(*rows: list[float]) -> Score:
    """A score of signal 100 per tensor with the noise given per sample."""
    noise = np.array(rows)
    return Score(np.full(noise.shape[1], 100.0), noise)


def test_the_score_is_the_mean_of_the_tensors_in_db() -> None:
    found = score([[np.full(4, 10.0), np.full(4, 1.0)]], [[np.full(4, 11.0), np.full(4, 1.1)]])
    assert found.each_db == pytest.approx([20.0, 20.0])
    assert found.mean_db == pytest.approx(20.0)


def test_equal_and_broken_values_have_finite_scores() -> None:
    found = score([[np.ones(2), np.ones(2)]], [[np.ones(2), np.full(2, np.nan)]])
    assert list(found.each_db) == [HIGHEST_DB, LOWEST_DB]


def test_a_gain_in_every_sample_counts() -> None:
    assert noisy([0.5], [0.6], [0.5]).beats(noisy([1.0], [1.1], [1.0]), errors=1.0)


def test_a_gain_that_one_sample_makes_is_chance() -> None:
    before, after = noisy([9.0], [1.0], [1.0], [1.0]), noisy([1.0], [1.5], [1.5], [1.5])
    assert after.beats(before)
    assert not after.beats(before, errors=2.0)


def test_a_gain_for_which_the_worst_tensor_pays_does_not_count() -> None:
    assert not noisy([1.0, 12.0]).beats(noisy([5.0, 10.0]))
