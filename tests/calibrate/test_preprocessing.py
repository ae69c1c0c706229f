from pathlib import Path

import pytest

from bridge.calibrate.preprocessing import PREPROCESSINGS, Preprocessing, find_preprocessing
from bridge.errors import InputError


def test_the_usual_ways_have_names() -> None:
    assert set(PREPROCESSINGS) == {"imagenet", "imagenet-tf", "caffe", "clip", "yolo", "yolox", "unit", "raw"}
    assert all(find_preprocessing(name) is steps for name, steps in PREPROCESSINGS.items())


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="no preprocessing 'imagnet'") as caught:
        find_preprocessing("imagnet")
    assert "imagenet, imagenet-tf, caffe" in caught.value.hint


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def test_a_file_says_what_is_not_the_default(tmp_path: Path) -> None:
    path = written(
        tmp_path, 'size = [192, 256]\nresize = "letterbox"\npadding = 0\ncolor = "bgr"\nscale = "1/255"\nmean = 0.5\nstd = [0.1, 0.2, 0.3]\n'
    )
    assert find_preprocessing(path) == Preprocessing((192, 256), "letterbox", padding=0, color="bgr", scale=1 / 255, mean=(0.5,), std=(0.1, 0.2, 0.3))


def test_a_file_may_start_from_a_name_and_a_size_may_be_a_square(tmp_path: Path) -> None:
    found = find_preprocessing(str(written(tmp_path, 'base = "imagenet"\nsize = 96\ncrop = 1.0\n')))
    assert found == Preprocessing((96, 96), crop=1.0, scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("size = 0", "size.0: Input should be greater than or equal to 1. Received: 0"),
        ("size = 100000", "size.0: Input should be less than"),
        ("size = [1, 2, 3]", "size: Value should have at most 2 items"),
        ("std = [0.1, 0.0, 0.2]", "std: a divisor is not 0"),
        ("scale = '1/0'", "scale: should be a number, or a fraction such as '1/255'"),
        ("scale = nan", "scale: Input should be a finite number"),
        ("crop = 0.0", "crop: Input should be greater than 0"),
        ("color = 'grey'", "color: Input should be 'auto', 'rgb', 'bgr' or 'gray'"),
        ("colour = 'rgb'", "colour: Extra inputs are not permitted"),
        ("dtype = 'float64'", "dtype: "),
        ("base = 'mine'", "base: known are imagenet"),
        ("a = [", "not TOML"),
        ("#" + "x" * 70_000, "at most 64 KiB"),
    ],
)
def test_a_faulty_file_says_where(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        find_preprocessing(written(tmp_path, text))
    assert message in caught.value.message


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        find_preprocessing(tmp_path / "none.toml")
