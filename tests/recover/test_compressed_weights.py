"""Zeros and clusters of the float file are in the integers of the quantized file, whatever recovery does."""

from pathlib import Path

import numpy as np
import pytest
from small_nets import INT8, RELU, Layers, job, min_max

from bridge import quantize
from bridge.compare import measure_compression
from bridge.recover import recover
from bridge.recover.adaround import rounded_rows
from bridge.recover.equalization import equalized
from bridge.recover.recovery import METHODS
from bridge.recover.trials import State, Trials
from bridge.tflite import model as tflite
from bridge.types import ConvertedModel, QuantizedModel, TensorMap

RNG = np.random.default_rng(12)
VALUES = (RNG.standard_normal((30, 1, 6, 6, 4)) @ RNG.standard_normal((4, 4))).astype(np.float32)
INT4 = "weight_only_wi4_afp32"
CLUSTERS = np.array([-0.9, -0.31, -0.07, 0.12, 0.33, 1.0])


def pruned(*shape: int) -> np.ndarray:
    weight = RNG.standard_normal(shape)
    weight[np.abs(weight) < 0.7] = 0  # about half
    return weight


def clustered(*shape: int) -> np.ndarray:
    """Channels of different size, so that scales per channel would differ."""
    size = np.linspace(0.2, 1.0, shape[-1])
    weight = RNG.standard_normal(shape) * size
    nearest: np.ndarray = CLUSTERS[np.argmin(np.abs(weight[..., None] - CLUSTERS), axis=-1)]
    return nearest


def both(*shape: int) -> np.ndarray:
    weight = clustered(*shape)
    weight[np.abs(weight) < 0.2] = 0
    return weight


def net(folder: Path, weights: str) -> Path:
    make = {"pruned": pruned, "clustered": clustered, "both": both}[weights]
    layers = Layers(1, 6, 6, 4).conv("a", make(6, 3, 3, 4), RNG.standard_normal(6), activation=RELU)
    layers = layers.depthwise("b", make(1, 3, 3, 6), np.zeros(6), activation=RELU)
    return layers.dense("c", make(3, 216), np.zeros(3)).save(folder / "net.tflite")


def stored(path: Path) -> dict[str, np.ndarray]:
    """Constants of two axes or more by name, as the file stores them."""
    model = tflite.read(path)
    constants = [one for one in tflite.main_graph(model).tensors if tflite.is_constant(model, one) and len(tflite.shape(one)) > 1]
    return {tflite.text(one.name).split("_weight")[0]: tflite.integers(model, one) for one in constants}


def quantized(path: Path, methods: list[str], precision: str) -> QuantizedModel:
    task = job(path, VALUES, precision=precision)
    known = min_max(path, VALUES) if precision == INT8 else None
    corrections = recover(task, known, methods, ranges_given=False).corrections if methods else quantize.Corrections()
    return quantize.quantize(
        path, path.with_suffix(".q.tflite"), ranges=known, op_precisions=task.op_precisions, precision=precision, corrections=corrections
    )


@pytest.mark.parametrize("precision", [INT8, INT4])
@pytest.mark.parametrize("methods", [[], ["mse_weights", "adaround", "bias_correction"]], ids=["plain", "recovered"])
def test_zeros_stay_zeros(tmp_path: Path, methods: list[str], precision: str) -> None:
    path = net(tmp_path, "pruned")
    floats, integers = stored(path), stored(quantized(path, methods, precision).path)
    assert sorted(floats) == sorted(integers) == ["a", "b", "c"]
    for name, value in floats.items():
        assert not integers[name][value == 0].any()


@pytest.mark.parametrize("precision", [INT8, INT4])
@pytest.mark.parametrize("methods", [[], ["mse_weights", "adaround", "bias_correction"]], ids=["plain", "recovered"])
def test_equal_weights_stay_equal(tmp_path: Path, methods: list[str], precision: str) -> None:
    path = net(tmp_path, "clustered")
    floats, integers = stored(path), stored(quantized(path, methods, precision).path)
    for name, value in floats.items():
        for one in np.unique(value):
            assert len(np.unique(integers[name][value == one])) == 1


@pytest.mark.parametrize("precision", [INT8, INT4])
@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if method.run is not None])
def test_each_method_keeps_both_whether_it_helps_or_not(tmp_path: Path, method: str, precision: str) -> None:
    path = net(tmp_path, "both")
    task = job(path, VALUES, precision=precision)
    known = min_max(path, VALUES) if precision == INT8 else None
    run = METHODS[method].run
    assert run is not None
    state = run(Trials(task), State(known))
    made = quantize.quantize(
        path, tmp_path / "q.tflite", ranges=state.ranges, op_precisions=task.op_precisions, precision=precision, corrections=state.corrections
    )
    floats, integers = stored(path), stored(made.path)
    for name, value in floats.items():
        assert not integers[name][value == 0].any()
        assert len(np.unique(integers[name])) <= len(np.unique(value))


def test_a_bias_that_needs_a_larger_scale_gives_it_to_all_channels(tmp_path: Path) -> None:
    bias = np.array([1e9, 0, 0, 0, 0, 0])
    path = Layers(1, 6, 6, 4).conv("a", clustered(6, 3, 3, 4), bias).save(tmp_path / "net.tflite")
    value, integer = stored(path)["a"], stored(quantized(path, [], INT8).path)["a"]
    assert all(len(np.unique(integer[value == one])) == 1 for one in np.unique(value))


def test_rounding_by_outputs_leaves_zeros_that_others_would_be_made_up_with() -> None:
    rows = np.array([[[0.4, 0.0, 0.4, 0.0]]])
    gram = np.ones((1, 4, 4)) + 0.1 * np.eye(4)  # inputs that nearly agree: what one loses another could take
    found = rounded_rows(rows, gram, np.ones((1, 1)), (-8, 7))
    assert found[0, 0, 1] == found[0, 0, 3] == 0
    assert found.sum() == 1  # nearest would give 0 where 0.8 is wanted


@pytest.mark.parametrize("weights", ["pruned", "clustered"])
def test_equalization_keeps_zeros_and_leaves_clusters_alone(tmp_path: Path, weights: str) -> None:
    path = net(tmp_path, weights)
    content, rescaled = equalized(tflite.read(path), [{"x": value} for value in VALUES], where="net")
    other = tmp_path / "equalized.tflite"
    other.write_bytes(content)
    before, after = stored(path), stored(other)
    assert bool(rescaled) is (weights == "pruned")
    assert all(np.array_equal(before[name] == 0, after[name] == 0) for name in before)
    assert all(len(np.unique(after[name])) <= len(np.unique(before[name])) for name in before if weights == "clustered")


@pytest.mark.parametrize("precision", [INT8, INT4])
def test_the_report_counts_what_the_files_hold(tmp_path: Path, precision: str) -> None:
    path = net(tmp_path, "clustered")
    made = quantized(path, [], precision)
    block = measure_compression(ConvertedModel(path, "", TensorMap((), (), (), ("one", "two", "three"), {}), ""), made)
    floats, integers = stored(path), stored(made.path)
    rows = {row.node: row for row in block.weights}
    assert list(rows) == ["one", "three"]  # the depthwise weight has 54 values
    for node, name in (("one", "a"), ("three", "c")):
        assert rows[node].values == floats[name].size
        assert (rows[node].float_distinct, rows[node].quantized_distinct) == (len(np.unique(floats[name])), len(np.unique(integers[name])))
        assert rows[node].quantized_zeros == pytest.approx(float((integers[name] == 0).mean()))
        assert rows[node].scales == 1
    assert block.quantized_distinct is not None
    assert block.quantized_distinct <= len(CLUSTERS)
    assert block.float_gzip_bytes is not None
    assert block.float_gzip_bytes < path.stat().st_size
