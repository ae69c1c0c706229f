from pathlib import Path

import numpy as np
import pytest

from bridge.calibrate import from_arrays, load, split, synthetic
from bridge.errors import InputError
from bridge.types import TensorSpec

IMAGE = TensorSpec("image", (1, 3, 4, 5), "float32")
STATE = TensorSpec("state", (2, 6), "float32")
TOKENS = TensorSpec("tokens", (1, 7), "int64")
RNG = np.random.default_rng(0)
IMAGES = RNG.standard_normal((10, 3, 4, 5)).astype(np.float32)


def save(folder: Path, **arrays: np.ndarray) -> Path:
    path = folder / "calib.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]  # savez takes arrays by name
    return path


def test_the_batch_axis_of_one_may_be_left_out_or_be_there(tmp_path: Path) -> None:
    without = load(save(tmp_path, image=IMAGES), [IMAGE])
    assert [sample["image"].shape for sample in without] == [(1, 3, 4, 5)] * 10
    with_axis = load(save(tmp_path, image=IMAGES[:, None]), [IMAGE])
    assert without.digest() == with_axis.digest()
    np.testing.assert_array_equal(with_axis[3]["image"][0], IMAGES[3])


def test_an_input_without_a_batch_axis_is_kept_whole(tmp_path: Path) -> None:
    data = load(save(tmp_path, state=np.zeros((4, 2, 6), np.float32)), [STATE])
    assert data[0]["state"].shape == (2, 6)


def test_a_symbolic_batch_is_one_and_other_symbolic_sizes_are_those_of_the_data(tmp_path: Path) -> None:
    data = load(save(tmp_path, image=IMAGES), [TensorSpec("image", ("N", 3, "H", "W"), "float32")])
    assert data.inputs == (TensorSpec("image", (1, 3, 4, 5), "float32"),)
    assert data[0]["image"].shape == (1, 3, 4, 5)


def test_iterating_twice_gives_the_same_samples(tmp_path: Path) -> None:
    data = load(save(tmp_path, image=IMAGES), [IMAGE])
    for first, second in zip(data, data, strict=True):
        np.testing.assert_array_equal(first["image"], second["image"])


@pytest.mark.provokes("data-missing-input")
def test_an_npy_file_serves_a_model_with_one_input(tmp_path: Path) -> None:
    np.save(tmp_path / "calib.npy", IMAGES)
    assert len(load(tmp_path / "calib.npy", [IMAGE], limit=4)) == 4
    with pytest.raises(InputError, match="holds one array, the model has 2 inputs: image, tokens"):
        load(tmp_path / "calib.npy", [IMAGE, TOKENS])


def test_labels_and_arrays_without_an_input_do_not_become_inputs(tmp_path: Path) -> None:
    path = save(tmp_path, image=IMAGES, labels=np.arange(10)[:, None], boxes=np.zeros((3, 4)))
    data = load(path, [IMAGE], limit=6)
    assert list(data[0]) == ["image"]
    assert data.ignored == ("boxes",)
    assert data.labels is not None
    np.testing.assert_array_equal(data.labels, np.arange(6))


def test_a_model_input_may_be_called_labels(tmp_path: Path) -> None:
    data = load(save(tmp_path, labels=np.zeros((2, 4), np.float32)), [TensorSpec("labels", (1, 4), "float32")])
    assert data.labels is None
    assert data[0]["labels"].shape == (1, 4)


def test_a_big_endian_file_is_read_as_the_same_numbers(tmp_path: Path) -> None:
    data = load(save(tmp_path, image=IMAGES.astype(">f4")), [IMAGE])
    assert data[0]["image"].dtype == np.dtype("float32")
    np.testing.assert_array_equal(data[0]["image"][0], IMAGES[0])


@pytest.mark.parametrize(
    ("arrays", "message", "hint"),
    [
        ({"x": IMAGES}, r"no array 'image' .* Received: 'x'", "Name the arrays like the model inputs"),
        ({"image": IMAGES.astype(np.float64)}, r"must be float32. Received: float64", r"array.astype(numpy.float32)"),
        ({"image": np.zeros((9, 3, 4, 5), np.uint8)}, r"must be float32. Received: uint8", "after preprocessing"),
        (
            {"image": IMAGES.transpose(0, 2, 3, 1)},
            r"must have shape \[samples, 3, 4, 5\] or \[samples, 1, 3, 4, 5\]. Received: \[10, 4, 5, 3\]",
            "looks like NHWC data for an NCHW input: save 'image' as array.transpose(0, 3, 1, 2)",
        ),
        (
            {"image": IMAGES.transpose(0, 1, 3, 2)},
            "must have shape",
            "looks like data in another axis order: save 'image' as array.transpose(0, 1, 3, 2)",
        ),
        ({"image": IMAGES[:, None].transpose(0, 1, 3, 4, 2)}, "must have shape", "array.transpose(0, 1, 4, 2, 3)"),
        ({"image": IMAGES[0]}, "must have shape", "That is one sample; save 'image' as array[None]"),
        ({"image": IMAGES[:, :, :, :4]}, "must have shape", "leading axis of samples"),
        ({"image": np.float32(1.0)}, "must have shape", "leading axis of samples"),
        ({"image": IMAGES[:0]}, "there is no sample", ""),
        ({"image": IMAGES, "labels": np.arange(9)}, r"same number of samples. Received: 'image' 10, 'labels' 9", ""),
        ({"image": IMAGES, "labels": np.eye(10)}, "must be one class index per sample", "argmax"),
        ({"image": IMAGES, "labels": np.int64(3)}, "must be one class index per sample", "argmax"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_way_out(tmp_path: Path, arrays: dict[str, np.ndarray], message: str, hint: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load(save(tmp_path, **arrays), [IMAGE])
    assert "calib.npz" in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.provokes("data-non-finite")
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_name_the_first_sample(tmp_path: Path, bad: float) -> None:
    values = IMAGES.copy()
    values[7, 0, 0, 0] = values[9] = bad
    with pytest.raises(InputError, match=r"array 'image' holds NaN or infinity in sample 7 \(of 10"):
        load(save(tmp_path, image=values), [IMAGE])


def test_samples_behind_the_limit_are_not_judged(tmp_path: Path) -> None:
    values = IMAGES.copy()
    values[7] = np.nan
    assert len(load(save(tmp_path, image=values), [IMAGE], limit=7)) == 7


def test_arrays_of_different_length_are_refused() -> None:
    with pytest.raises(InputError, match="Received: 'image' 10, 'tokens' 9"):
        from_arrays({"image": IMAGES, "tokens": np.zeros((9, 7), np.int64)}, [IMAGE, TOKENS])


def test_synthetic_data_depend_on_the_seed_alone() -> None:
    one, same, other = (synthetic([IMAGE, TOKENS], seed=seed, samples=3) for seed in (5, 5, 6))
    assert one.digest() == same.digest() != other.digest()
    assert one.source == "synthetic"
    assert one[0]["tokens"].dtype == np.int64
    assert {0, 1} >= set(np.unique([sample["tokens"] for sample in one]).tolist())
    assert [sample["image"].shape for sample in one] == [(1, 3, 4, 5)] * 3


def test_the_held_out_part_is_spread_over_the_set_and_shares_no_sample() -> None:
    data = from_arrays({"image": IMAGES, "labels": np.arange(10)}, [IMAGE])
    rest, held = split(data, holdout=0.25)
    assert rest.labels is not None
    assert held.labels is not None
    assert sorted([*rest.labels, *held.labels]) == list(range(10))
    assert held.labels.tolist() == [2, 7]
    assert held.source == "arrays (2 of 10 samples held out)"
    np.testing.assert_array_equal(held[1]["image"][0], IMAGES[7])


def test_both_parts_of_two_samples_have_one() -> None:
    rest, held = split(from_arrays({"image": IMAGES[:2]}, [IMAGE]), holdout=0.9)
    assert (len(rest), len(held)) == (1, 1)


def test_one_sample_cannot_be_split() -> None:
    with pytest.raises(InputError, match="none can be held out"):
        split(from_arrays({"image": IMAGES[:1]}, [IMAGE]), holdout=0.25)
