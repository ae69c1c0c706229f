"""Calibration samples that know one kind of input: 100 times one picture, 100 of one class, labels in the data."""

import numpy as np
import pytest

from bridge.calibrate import Dataset, synthetic
from bridge.calibrate.dataset import from_arrays
from bridge.calibrate.variety import check_variety
from bridge.types import TensorSpec

PICTURE = TensorSpec("x", (1, 3, 8, 8), "float32")
GENERATOR = np.random.default_rng(3)


def dataset(pictures: np.ndarray, labels: np.ndarray | None = None) -> Dataset:
    named = {} if labels is None else {"labels": labels}
    return from_arrays({"x": pictures.astype(np.float32), **named}, [PICTURE], source="calib.npz")


def pictures(count: int) -> np.ndarray:
    """Each with a brightness and a pattern of its own."""
    return GENERATOR.normal(size=(count, 1, 1, 1)) + GENERATOR.normal(size=(count, 3, 8, 8))


@pytest.mark.provokes("samples-alike")
def test_one_sample_a_hundred_times_is_found() -> None:
    (finding,) = check_variety(dataset(np.repeat(pictures(1), 100, axis=0)))
    assert (finding.code, finding.severity) == ("samples-alike", "warning")
    assert "only 1 of 100 calibration samples are different ones" in finding.message


def test_frames_of_one_still_scene_are_found_by_their_variance() -> None:
    frames = pictures(1) + 0.02 * GENERATOR.normal(size=(100, 3, 8, 8))
    (finding,) = check_variety(dataset(frames))
    assert "are nearly the same" in finding.message


def test_samples_of_all_kinds_get_no_advice() -> None:
    assert check_variety(dataset(pictures(100), np.arange(100) % 10)) == ()
    assert check_variety(dataset(np.concatenate([pictures(80), np.repeat(pictures(1), 20, axis=0)]))) == ()  # some twice
    assert check_variety(dataset(np.repeat(pictures(1), 8, axis=0))) == ()  # few, which is said otherwise
    assert check_variety(synthetic([PICTURE], seed=0, samples=100)) == ()


@pytest.mark.provokes("one-class")
def test_a_hundred_samples_of_one_class_are_found_by_their_labels() -> None:
    (finding,) = check_variety(dataset(pictures(100), np.full(100, 3)))
    assert finding.code == "one-class"
    assert "all 100 calibration samples are of class 3" in finding.message
