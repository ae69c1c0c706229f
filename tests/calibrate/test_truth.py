"""The array `truth` beside the inputs: what is right for each sample, for task metrics."""

from pathlib import Path

import numpy as np
import pytest

from bridge.calibrate.dataset import from_arrays, load, split
from bridge.calibrate.stream import from_stream
from bridge.errors import InputError
from bridge.types import TensorSpec

INPUTS = (TensorSpec("x", (1, 2), "float32"),)
X = np.arange(8, dtype=np.float32).reshape(4, 2)
MASKS = np.arange(4 * 6, dtype=np.uint8).reshape(4, 2, 3)


def test_the_truth_of_a_sample_follows_it_into_parts(tmp_path: Path) -> None:
    np.savez(tmp_path / "eval.npz", x=X, truth=MASKS, labels=np.arange(4))
    samples = load(tmp_path / "eval.npz", INPUTS)
    rest, held_out = split(samples, holdout=0.25)
    for part in (samples, rest, held_out, samples.extended(INPUTS, dict)):
        for position in range(len(part)):
            truth = part.truth_of(position)
            assert truth is not None
            assert truth.dtype == np.uint8
            assert truth.tolist() == MASKS[int(part[position]["x"][0, 0]) // 2].tolist()
    assert samples.labels is not None
    assert samples.labels.tolist() == [0, 1, 2, 3]


def test_without_truth_the_class_is_what_is_right() -> None:
    truth = from_arrays({"x": X, "labels": np.arange(4)}, INPUTS).truth_of(2)
    assert truth is not None
    assert truth.item() == 2
    assert from_arrays({"x": X}, INPUTS).truth_of(2) is None


def test_an_input_of_that_name_is_an_input() -> None:
    samples = from_arrays({"truth": X}, (TensorSpec("truth", (1, 2), "float32"),))
    assert samples.truth_of(0) is None


@pytest.mark.parametrize(("truth", "message"), [(np.array(["a"] * 4), "must be numbers of shape"), (np.zeros(3), "same number of samples")])
def test_a_truth_that_does_not_fit_is_refused(truth: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_arrays({"x": X, "truth": truth}, INPUTS)


@pytest.mark.parametrize("size", [None, 1, 3])
def test_elements_of_a_stream_may_bring_their_truth(size: int | None) -> None:
    parts = [(X[i], MASKS[i]) for i in range(4)] if size is None else [(X[i : i + size], MASKS[i : i + size]) for i in range(0, 4, size)]
    samples = from_stream([{"x": x, "truth": mask} for x, mask in parts], INPUTS, where="stream")
    assert [np.asarray(samples.truth_of(position)).tolist() for position in range(4)] == MASKS.tolist()


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ([{"x": X, "truth": MASKS}, {"x": X}], r"element 1: 'truth' is in some elements and not in others"),
        ([{"x": X}, {"x": X, "truth": MASKS}], r"element 1: 'truth' is in some elements and not in others"),
        ([{"x": X, "truth": MASKS[:2]}], r"element 0: 'truth': there are 4 samples in the element\. Received: \[2, 2, 3\]"),
        ([{"x": X, "truth": 3}], r"there are 4 samples in the element\. Received: \[\]"),
        ([{"x": X, "truth": "a"}], "no array of numbers"),
    ],
)
def test_a_truth_that_does_not_fit_its_element_is_refused(elements: list[dict[str, object]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_stream(elements, INPUTS, where="stream")
