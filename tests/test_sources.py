"""Sizes that a model leaves open are those of the samples."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

from bridge import Calibration, InputError
from bridge.cli import main
from bridge.samples import first_sample
from bridge.sources import OpenedModel, open_model

SAMPLES = np.ones((5, 3, 6, 8), np.float32)
MODEL = '<ir_version: 8, opset_import: ["" : 17]> g (float[N,3,H,W] x, float[1,2] z) => (float[N,3,H,W] y, float[1,2] w) { y = Relu(x) w = Relu(z) }'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    onnx.save(onnx.parser.parse_model(MODEL), tmp_path / "open.onnx")
    return tmp_path / "open.onnx"


def codes(opened: OpenedModel) -> set[str]:
    return {finding.code for finding in opened.graph.diagnostics}


def shapes(opened: OpenedModel) -> list[tuple[int | str, ...]]:
    return [spec.shape for spec in opened.inputs]


@pytest.mark.provokes("size-of-samples")
def test_open_sizes_are_those_of_a_sample(path: Path) -> None:
    data = Calibration.from_arrays({"x": SAMPLES, "z": np.ones((5, 2), np.float32)})
    opened = open_model(path, input_shapes={}, first_sample=first_sample(None, data))
    assert shapes(opened) == [(1, 3, 6, 8), (1, 2)]
    assert codes(opened) == {"size-of-samples"}


def test_a_stream_that_is_read_for_its_sizes_still_has_all_its_samples(path: Path) -> None:
    def stream() -> Iterator[dict[str, np.ndarray]]:
        yield from ({"x": one, "z": np.ones(2, np.float32)} for one in SAMPLES)

    data = Calibration.from_iterable(stream())
    opened = open_model(path, input_shapes={}, first_sample=first_sample(data))
    assert len(data.dataset(opened.inputs)) == len(SAMPLES)


def no_sample(_: object) -> dict[str, np.ndarray]:
    raise AssertionError("nobody may ask for a sample")


def test_the_users_sizes_and_an_open_batch_need_no_sample(path: Path, tmp_path: Path) -> None:
    assert shapes(open_model(path, input_shapes={"x": (1, 3, 4, 4)}, first_sample=no_sample))[0] == (1, 3, 4, 4)
    batch = '<ir_version: 8, opset_import: ["" : 17]> g (float[N,3] x) => (float[N,3] y) { y = Relu(x) }'
    onnx.save(onnx.parser.parse_model(batch), tmp_path / "batch.onnx")
    assert shapes(open_model(tmp_path / "batch.onnx", input_shapes={}, first_sample=no_sample)) == [(1, 3)]


def test_without_samples_an_open_size_is_1_and_that_is_a_warning(path: Path) -> None:
    opened = open_model(path, input_shapes={}, first_sample=first_sample(None))
    assert shapes(opened)[0] == (1, 3, 1, 1)
    assert codes(opened) == {"free-dimension"}


@pytest.mark.parametrize("wrong", [SAMPLES[:, :2], SAMPLES.astype(np.float64), SAMPLES[0, 0]])
def test_samples_that_do_not_fit_what_is_fixed_are_refused(path: Path, wrong: np.ndarray) -> None:
    data = Calibration.from_arrays({"x": wrong, "z": np.ones((len(wrong), 2), np.float32)})
    with pytest.raises(InputError, match="array 'x' must"):
        open_model(path, input_shapes={}, first_sample=first_sample(data))


def test_commands_take_the_sizes_of_their_data(path: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=SAMPLES, z=np.ones((5, 2), np.float32))
    for arguments in (["compare", path, path], ["trace", path, "-o", tmp_path / "trace.npz"]):
        with pytest.raises(SystemExit) as ended:
            main([*map(str, arguments), "--data", str(tmp_path / "data.npz")])
        assert not ended.value.code
    with np.load(tmp_path / "trace.npz") as trace:
        assert trace["y"].shape == (5, 1, 3, 6, 8)
