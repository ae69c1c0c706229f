"""Pictures made here, values by hand."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bridge.calibrate import Calibration, Dataset
from bridge.calibrate.images import MAX_PIXELS, geometry_of
from bridge.calibrate.preprocessing import Preprocessing, find_preprocessing
from bridge.errors import InputError
from bridge.types import TensorSpec

NCHW, NHWC = TensorSpec("x", (1, 3, 4, 6), "float32"), TensorSpec("x", (1, 4, 6, 3), "float32")


def save(path: Path, color: Sequence[int] | int, size: tuple[int, int] = (12, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L" if isinstance(color, int) else "RGB", size, color if isinstance(color, int) else tuple(color)).save(path)
    return path


def samples(folder: Path, preprocess: str | Preprocessing, spec: TensorSpec = NCHW) -> Dataset:
    return Calibration.from_images(folder, preprocess).dataset((spec,))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("imagenet", [(1.0 - 0.485) / 0.229, (0.4 - 0.456) / 0.224, (0.0 - 0.406) / 0.225]),
        ("imagenet-tf", [1.0, 102 / 127.5 - 1, -1.0]),
        ("caffe", [0 - 103.939, 102 - 116.779, 255 - 123.68]),
        ("clip", [(1.0 - 0.48145466) / 0.26862954, (0.4 - 0.4578275) / 0.26130258, (0.0 - 0.40821073) / 0.27577711]),
        ("yolo", [1.0, 0.4, 0.0]),
        ("yolox", [0.0, 102.0, 255.0]),
        ("unit", [1.0, 0.4, 0.0]),
        ("raw", [255.0, 102.0, 0.0]),
    ],
)
def test_each_name_makes_the_values_of_its_formula(tmp_path: Path, name: str, expected: list[float]) -> None:
    save(tmp_path / "a.png", (255, 102, 0))
    (first,) = samples(tmp_path, name)
    assert (first["x"].shape, first["x"].dtype.name) == ((1, 3, 4, 6), "float32")
    np.testing.assert_allclose(first["x"], np.broadcast_to(np.array(expected).reshape(1, 3, 1, 1), (1, 3, 4, 6)), rtol=1e-6)
    (last,) = samples(tmp_path, name, NHWC)
    np.testing.assert_array_equal(last["x"], first["x"].transpose(0, 2, 3, 1))


def test_pictures_come_in_the_order_of_their_paths_and_other_files_do_not_count(tmp_path: Path) -> None:
    for place, name in enumerate(["b.png", "a.bmp", "c/d.png"]):
        save(tmp_path / name, (place, place, place))
    (tmp_path / "notes.txt").write_text("no picture")
    found = samples(tmp_path, "raw")
    assert [int(one["x"][0, 0, 0, 0]) for one in found] == [1, 0, 2]
    assert found.labels is None
    assert found.source == str(tmp_path)


def test_a_crop_keeps_the_middle_of_the_shorter_side(tmp_path: Path) -> None:
    picture = np.zeros((8, 16, 3), np.uint8)
    picture[1:7, 5:11] = 200  # 6 of 8 rows, and as many columns around the middle
    Image.fromarray(picture).save(tmp_path / "a.png")
    spec = TensorSpec("x", (1, 3, 6, 6), "float32")
    (found,) = samples(tmp_path, Preprocessing(crop=0.75, interpolation="nearest"), spec)
    assert (found["x"] == 200.0).all()


def test_a_letterbox_keeps_the_aspect_ratio_and_fills_the_rest(tmp_path: Path) -> None:
    save(tmp_path / "a.png", (10, 20, 30), size=(6, 3))
    (found,) = samples(tmp_path, "yolox", TensorSpec("x", (1, 3, 4, 4), "float32"))
    assert (found["x"][0, :, :2] == np.array([30, 20, 10]).reshape(3, 1, 1)).all()
    assert (found["x"][0, :, 2:] == 114.0).all()


def test_stretching_takes_all_of_the_picture(tmp_path: Path) -> None:
    picture = np.zeros((2, 4, 3), np.uint8)
    picture[:, 2:] = 100
    Image.fromarray(picture).save(tmp_path / "a.png")
    (found,) = samples(tmp_path, Preprocessing(resize="stretch", interpolation="nearest"), TensorSpec("x", (1, 3, 2, 2), "float32"))
    np.testing.assert_array_equal(found["x"][0, 0], [[0, 100], [0, 100]])


def test_an_input_of_one_channel_is_gray(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 51)
    (found,) = samples(tmp_path, "unit", TensorSpec("x", (1, 1, 4, 6), "float32"))
    np.testing.assert_allclose(found["x"], np.full((1, 1, 4, 6), 0.2), rtol=1e-6)


def test_integer_inputs_are_rounded_and_kept_in_their_limits(tmp_path: Path) -> None:
    save(tmp_path / "a.png", (255, 3, 0))
    (found,) = samples(tmp_path, Preprocessing(scale=1.5), TensorSpec("x", (1, 4, 6, 3), "uint8"))
    assert found["x"].dtype == np.uint8
    assert found["x"][0, 0, 0].tolist() == [255, 4, 0]  # 382.5 and 4.5 (to even)


def test_subfolders_of_classes_give_labels(tmp_path: Path) -> None:
    for name in ("dog/1.png", "cat/1.png", "dog/2.png"):
        save(tmp_path / name, (0, 0, 0))
    labels = samples(tmp_path, "raw").labels
    assert labels is not None
    assert labels.tolist() == [0, 1, 1]


def test_subfolders_with_numbers_are_their_labels(tmp_path: Path) -> None:
    for name in ("7/1.png", "12/1.png"):
        save(tmp_path / name, (0, 0, 0))
    labels = samples(tmp_path, "raw").labels
    assert labels is not None
    assert labels.tolist() == [12, 7]  # in the order of the paths


def test_sizes_that_the_input_leaves_open_come_from_the_preprocessing(tmp_path: Path) -> None:
    save(tmp_path / "a.png", (0, 0, 0))
    spec = TensorSpec("x", ("N", 3, "H", "W"), "float32")
    assert samples(tmp_path, Preprocessing(size=(5, 7)), spec).inputs[0].shape == (1, 3, 5, 7)
    with pytest.raises(InputError, match="takes pictures of any size") as caught:
        samples(tmp_path, "unit", spec)
    assert "--input NAME=1x3x224x224" in caught.value.hint


@pytest.mark.parametrize(
    ("spec", "steps", "message"),
    [
        (TensorSpec("x", (1, 10), "float32"), Preprocessing(), "takes no pictures: a picture has 3 axes"),
        (TensorSpec("x", (1, 7, 9, 5), "float32"), Preprocessing(), "none of its axes has 1 or 3 channels"),
        (TensorSpec("x", (1, 1, 8, 8), "float32"), find_preprocessing("imagenet"), "has 1 channels, the preprocessing makes 3"),
        (NCHW, Preprocessing(color="gray"), "has 3 channels, the preprocessing makes 1"),
        (NCHW, Preprocessing(size=(5, 5)), "other sizes than the preprocessing makes. Received: 5 instead of 4"),
    ],
)
def test_an_input_that_takes_other_pictures_is_refused(spec: TensorSpec, steps: Preprocessing, message: str) -> None:
    with pytest.raises(InputError, match=message):
        geometry_of(spec, steps)


def test_pictures_are_for_models_with_one_input(tmp_path: Path) -> None:
    save(tmp_path / "a.png", (0, 0, 0))
    with pytest.raises(InputError, match=r"for a model with one input. Received: x, y"):
        Calibration.from_images(tmp_path, "raw").dataset((NCHW, TensorSpec("y", (1,), "float32")))


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no picture in it"):
        samples(tmp_path, "raw")


@pytest.mark.provokes("data-pictures")
def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    save(tmp_path / "a.png", (0, 0, 0))
    (tmp_path / "b.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    with pytest.raises(InputError, match=r"b.jpg: not a picture"):
        samples(tmp_path, "raw")


def test_a_picture_that_breaks_off_is_named_when_it_is_read(tmp_path: Path) -> None:
    path = save(tmp_path / "a.bmp", (0, 0, 0), size=(64, 64))
    path.write_bytes(path.read_bytes()[:1000])
    found = samples(tmp_path, "raw")
    with pytest.raises(InputError, match=r"a.bmp: the picture is damaged"):
        found[0]


@pytest.mark.parametrize("side", [8200, 20_000, 60_000])
def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path, side: int) -> None:
    path = save(tmp_path / "a.bmp", (0, 0, 0))
    content = bytearray(path.read_bytes())
    content[18:26] = side.to_bytes(4, "little") * 2  # width and height
    path.write_bytes(content)
    assert side * side > MAX_PIXELS
    with pytest.raises(InputError, match="more than 64 million pixels"):
        samples(tmp_path, "raw")
