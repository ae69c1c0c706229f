"""Generated pictures: smooth in height and width, their channels unlike, as photographs are."""

from pathlib import Path

import numpy as np
import pytest

from bridge.calibrate import calibrate, from_arrays
from bridge.files import write_bytes
from bridge.tflite import model as tflite
from bridge.types import InputBinding, TensorSpec

SIDE, SAMPLES, CHANNELS = 16, 24, 8
RNG = np.random.default_rng(0)


def pictures(*, gray: bool = False) -> np.ndarray:
    """[N, H, W, 3] whole numbers from 0 to 255."""
    corners = RNG.uniform(0.0, 255.0, (SAMPLES, 3, 3, 3))
    row = np.linspace(0.0, 2.0, SIDE)
    low, share = np.minimum(row.astype(int), 1), row - np.minimum(row.astype(int), 1)
    rows = corners[:, low] * (1 - share)[None, :, None, None] + corners[:, low + 1] * share[None, :, None, None]
    both = rows[:, :, low] * (1 - share)[None, None, :, None] + rows[:, :, low + 1] * share[None, None, :, None]
    both = both[..., :1].repeat(3, axis=-1) if gray else both
    both[0, 0, 0], both[0, 0, 1] = 0.0, 255.0
    return np.asarray(np.round(both), np.float32)


def model(folder: Path, *, scale: float, behind: str | None = None) -> Path:
    """A convolution that was trained on pictures of the given largest value, maybe with a scaling of its own behind it."""
    built = tflite.new_model("first layer")
    graph = tflite.main_graph(built)
    x = tflite.add_tensor(built, graph, "x", "FLOAT32", (1, SIDE, SIDE, 3))
    y = tflite.add_tensor(built, graph, "y", "FLOAT32", (1, SIDE, SIDE, CHANNELS))
    factor = 1.0 if behind is None else 1000.0
    weights = (np.random.default_rng(1).standard_normal((CHANNELS, 3, 3, 3)) * factor / scale).astype(np.float32)
    kernel = tflite.add_tensor(built, graph, "w", "FLOAT32", weights.shape, buffer=tflite.add_buffer(built, weights))
    bias_value = np.full(CHANNELS, 0.7 * factor, np.float32)
    bias = tflite.add_tensor(built, graph, "b", "FLOAT32", (CHANNELS,), buffer=tflite.add_buffer(built, bias_value))
    conv = tflite.add_op(built, "CONV_2D", 1, (x, kernel, bias), (y,))
    tflite.set_options(
        conv, "Conv2DOptions", strideW=1, strideH=1, dilationWFactor=1, dilationHFactor=1, fusedActivationFunction=3 if behind is None else 0
    )
    graph.operators, last = [conv], y
    if behind is not None:
        last = tflite.add_tensor(built, graph, "z", "FLOAT32", (1, SIDE, SIDE, CHANNELS))
        small = tflite.add_tensor(built, graph, "s", "FLOAT32", (1,), buffer=tflite.add_buffer(built, np.array([0.001], np.float32)))
        graph.operators.append(tflite.add_op(built, behind, 1, (y, small), (last,)))
        tflite.set_options(graph.operators[-1], "MulOptions")
    graph.inputs, graph.outputs = np.array([x], np.int32), np.array([last], np.int32)
    write_bytes(folder / "first.tflite", tflite.serialize(built))
    return folder / "first.tflite"


def codes(path: Path, values: np.ndarray, *, channels_first: bool) -> list[str]:
    """What calibration says about [N, C, H, W] or [N, H, W, C]."""
    shape = (1, 3, SIDE, SIDE) if channels_first else (1, SIDE, SIDE, 3)
    data = from_arrays({"x": np.ascontiguousarray(values, np.float32)}, [TensorSpec("x", shape, "float32")], source="calib.npz")
    order = (0, 2, 3, 1) if channels_first else (0, 1, 2, 3)
    ranges = calibrate(path, data, [InputBinding("x", "x", shape, order, "float32")], threads=1, progress=lambda _: None)
    return [found.code for found in ranges.warnings if found.code != "ranges-still-growing"]


each_layout = pytest.mark.parametrize("channels_first", [True, False])


def ordered(values: np.ndarray, *, channels_first: bool) -> np.ndarray:
    return values.transpose(0, 3, 1, 2) if channels_first else values


@each_layout
@pytest.mark.parametrize(("scale", "share", "offset"), [(255.0, 1.0, 0.0), (1.0, 1 / 255, 0.0), (1.0, 1 / 127.5, -1.0), (1.0, 1 / 58, -2.1)])
@pytest.mark.parametrize("behind", [None, "MUL"])
def test_pictures_as_the_model_takes_them_get_no_advice(
    tmp_path: Path, channels_first: bool, scale: float, share: float, offset: float, behind: str | None
) -> None:
    values = ordered(pictures() * share + offset, channels_first=channels_first)
    assert codes(model(tmp_path, scale=scale, behind=behind), values, channels_first=channels_first) == []


@pytest.mark.provokes("not-normalised")
@each_layout
@pytest.mark.parametrize("behind", [None, "MUL"])
def test_raw_pixels_for_a_model_of_normalised_ones_are_found(tmp_path: Path, channels_first: bool, behind: str | None) -> None:
    path = model(tmp_path, scale=1.0, behind=behind)
    assert codes(path, ordered(pictures(), channels_first=channels_first), channels_first=channels_first) == ["not-normalised"]


@pytest.mark.provokes("scaled-too-small")
@each_layout
def test_scaled_pictures_for_a_model_of_raw_ones_are_found(tmp_path: Path, channels_first: bool) -> None:
    values = ordered(pictures() / 255, channels_first=channels_first)
    assert codes(model(tmp_path, scale=255.0), values, channels_first=channels_first) == ["scaled-too-small"]


@pytest.mark.provokes("layout-swapped")
def test_pictures_that_were_reshaped_instead_of_transposed_are_found(tmp_path: Path) -> None:
    path, values = model(tmp_path, scale=1.0), pictures() / 255
    assert codes(path, values.reshape(SAMPLES, 3, SIDE, SIDE), channels_first=True) == ["layout-swapped"]
    assert codes(path, values.transpose(0, 3, 1, 2).reshape(SAMPLES, SIDE, SIDE, 3), channels_first=False) == ["layout-swapped"]


@each_layout
def test_gray_pictures_in_three_channels_and_noise_are_not_called_swapped(tmp_path: Path, channels_first: bool) -> None:
    path = model(tmp_path, scale=1.0)
    for values in (pictures(gray=True) / 255, RNG.uniform(0.0, 1.0, (SAMPLES, SIDE, SIDE, 3))):
        assert codes(path, ordered(values, channels_first=channels_first), channels_first=channels_first) == []
