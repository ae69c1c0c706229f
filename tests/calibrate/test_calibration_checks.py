import numpy as np
import pytest

from bridge.calibrate import check_overlap, from_arrays, synthetic
from bridge.calibrate.checks import check_data, check_ranges
from bridge.calibrate.dataset import Dataset
from bridge.calibrate.extents import Extents
from bridge.types import TensorRange, TensorSpec

X = TensorSpec("x", (1, 4), "float32")


def data(values: np.ndarray, **others: np.ndarray) -> Dataset:
    return from_arrays({"x": values.astype(np.float32), **others}, [X], source="calib.npz")


def codes(dataset: Dataset) -> list[str]:
    values = np.stack([sample["x"] for sample in dataset])
    return [found.code for found in check_data(dataset, {"x": TensorRange(float(values.min()), float(values.max()))})]


NORMAL = np.random.default_rng(0).standard_normal((40, 4))


def test_good_data_get_no_advice() -> None:
    assert codes(data(NORMAL)) == []


@pytest.mark.provokes("synthetic-calibration")
def test_random_samples_are_not_for_deployment() -> None:
    (found,) = check_data(synthetic([X], seed=0, samples=4), {})
    assert (found.code, found.severity) == ("synthetic-calibration", "warning")
    assert "not for deployment" in found.message


@pytest.mark.provokes("constant-input")
def test_an_input_that_never_changes_is_named() -> None:
    (found,) = check_data(data(np.full((20, 4), 0.5)), {"x": TensorRange(0.5, 0.5)})
    assert found.code == "constant-input"
    assert "input 'x' is 0.5 everywhere in all 20 samples" in found.message


@pytest.mark.provokes("unused-arrays")
def test_arrays_without_an_input_are_named() -> None:
    (found,) = check_data(data(NORMAL, boxes=np.zeros((40, 4))), {})
    assert found.code == "unused-arrays"
    assert "'boxes'" in found.message


LABELS = np.arange(40) % 3


@pytest.mark.provokes("labels-among-inputs")
@pytest.mark.parametrize("place", [0, 3])
def test_a_label_among_the_features_is_found(place: int) -> None:
    table = NORMAL.copy()
    table[:, place] = LABELS
    (found,) = check_data(data(table, labels=LABELS), {})
    assert (found.code, found.severity) == ("labels-among-inputs", "warning")
    assert f"element {place} of input 'x' is the label in each of the 40 samples" in found.message


def test_labels_beside_the_inputs_are_fine() -> None:
    almost = NORMAL.copy()
    almost[:, 2] = LABELS
    almost[39, 2] += 1.0
    assert check_data(data(almost, labels=LABELS), {}) == ()
    same = check_data(data(np.zeros((40, 4)), labels=np.zeros(40, np.int64)), {})  # one class, and a place that is always the same
    assert "labels-among-inputs" not in {found.code for found in same}


def observed(highs: np.ndarray) -> Extents:
    """[samples, tensors] -> an observer that saw values from 0 to each of them."""
    observer = Extents(highs.shape[1])
    for position, row in enumerate(highs):
        observer.observe(position, [np.array([0.0, high], np.float32) for high in row])
    return observer


@pytest.mark.provokes("ranges-still-growing")
def test_ranges_that_grow_to_the_end_ask_for_more_samples() -> None:
    highs = np.tile([1.0, 1.3, 1.6, 2.0], 10)[:, None].repeat(3, axis=1)
    (found,) = check_ranges(data(NORMAL), observed(highs), {0: "a", 1: "b", 2: "c"})
    assert found.code == "ranges-still-growing"
    assert "3 of 3 ranges" in found.message
    assert "'a', 'b', 'c'" in found.message


def test_the_curve_of_the_growing_ranges_is_told() -> None:
    highs = np.column_stack([np.tile([1.0, 2.0, 3.0, 4.0], 10), np.ones(40)])
    (found,) = check_ranges(data(NORMAL), observed(highs), {0: "a", 1: "b"})
    assert "After each quarter of the samples the ranges had 25%, 50%, 75% and 100% of their width (median)." in found.message


@pytest.mark.parametrize(
    ("samples", "expected"), [pytest.param(15, ["few-calibration-samples"], marks=pytest.mark.provokes("few-calibration-samples")), (16, [])]
)
def test_fewer_than_sixteen_samples_are_few(samples: int, expected: list[str]) -> None:
    assert [found.code for found in check_ranges(data(NORMAL[:samples]), observed(np.ones((samples, 1))), {0: "a"})] == expected


def test_few_samples_come_with_their_curve() -> None:
    (found,) = check_ranges(data(NORMAL[:4]), observed(np.array([[1.0], [1.0], [3.0], [4.0]])), {0: "a"})
    assert "25%, 25%, 75% and 100%" in found.message


def test_ranges_that_settled_do_not() -> None:
    highs = np.tile([1.0, 1.5, 1.4, 1.5], 10)[:, None]
    assert check_ranges(data(NORMAL), observed(highs), {0: "a"}) == ()


def test_infinite_activations_are_reported_once_with_examples() -> None:
    observer = Extents(7)
    observer.observe(0, [np.array([-np.inf, 1.0], np.float32)] * 7)
    (found,) = check_ranges(data(NORMAL), observer, {tensor: f"t{tensor}" for tensor in range(7)})
    assert found.code == "non-finite-activations"
    assert "7 tensors" in found.message
    assert "'t4' and 2 more" in found.message


@pytest.mark.provokes("evaluation-on-calibration-data")
def test_evaluation_samples_that_were_calibrated_on_are_counted() -> None:
    (found,) = check_overlap(data(NORMAL[:20]), data(NORMAL[15:30]))
    assert found.code == "evaluation-on-calibration-data"
    assert "5 of 15 evaluation samples" in found.message


def test_sets_without_a_common_sample_are_fine() -> None:
    assert check_overlap(data(NORMAL[:20]), data(NORMAL[20:])) == ()
