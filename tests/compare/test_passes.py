from pathlib import Path

import numpy as np
import pytest
from test_kernel_checks import sum_of_pixels
from test_outputs import Data
from two_layers import SAMPLES, Builder, H, converted, first, float_file, int8_file, onnx_model

from bridge.compare import OnnxRunner, passes
from bridge.compare.alignment import aligned
from bridge.compare.layers import Files
from bridge.compare.passes import Measured, first_kernel_difference, measure_layers
from bridge.compare.rows import CLIPPED, WORST_SAMPLES
from bridge.tflite import model as tflite
from bridge.types import InputBinding, TensorMap, TensorPair


def measured(folder: Path, samples: np.ndarray = SAMPLES, *, memory_mb: int = 4096) -> Measured:
    files = Files(
        int8_file(folder), converted(folder).tensor_map, float_file(folder), aligned(*map(tflite.read, (float_file(folder), int8_file(folder))))
    )
    told: list[int] = []
    found = measure_layers(
        OnnxRunner(onnx_model(), intermediates=False),
        files,
        Data(samples),
        range(len(samples)),
        memory_mb=memory_mb,
        threads=2,
        progress=told.append,
    )
    assert sum(told) == len(samples)
    return found


@pytest.mark.provokes("memory-budget")
def test_several_passes_find_what_one_pass_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = measured(tmp_path)
    monkeypatch.setattr(passes, "SMALLEST_CHUNK", 1)
    several = measured(tmp_path, memory_mb=1)
    assert (one.passes, several.passes) == (1, 2)
    assert several.layers == one.layers
    assert [finding.code for finding in several.diagnostics] == ["memory-budget"]
    assert one.diagnostics == ()
    assert all(row.own_sqnr_db is not None and row.conversion_sqnr_db is not None for row in one.layers)


@pytest.mark.provokes("clipped-range")
def test_the_worst_samples_of_a_layer_have_their_names(tmp_path: Path) -> None:
    samples = SAMPLES.copy()
    samples[7] *= 30.0  # beyond every range
    layer = measured(tmp_path, samples).layers[-1]
    assert layer.worst_samples[0].sample == "sample 7"
    assert len(layer.worst_samples) == WORST_SAMPLES
    assert [one.sqnr_db for one in layer.worst_samples] == sorted(one.sqnr_db for one in layer.worst_samples)


def test_values_at_the_end_of_the_type_are_counted(tmp_path: Path) -> None:
    samples = SAMPLES * np.float32(30.0)
    share = dict(measured(tmp_path, samples).layers[0].metrics)[CLIPPED]
    beyond = np.abs(np.rint(first(samples) / H.scale) + H.zero_point + 0.5) > 128
    assert share == pytest.approx(beyond.mean())
    assert share > 0.1


@pytest.mark.provokes("kernel-differs")
def test_the_first_node_whose_kernels_disagree_is_named(tmp_path: Path) -> None:
    build, axes = Builder(), np.array([1, 2], np.int32)
    image, total = build.tensor("image", (2, 6, 6, 5)), build.tensor("total", (2, 5))
    build.op("SUM", [image, build.constant("axes", axes)], [total])
    tflite.set_options(build.graph.operators[-1], "ReducerOptions")
    float_path, quantized = build.save(tmp_path / "float.tflite", [image], [total]), sum_of_pixels(tmp_path / "int8.tflite")
    pairs = (TensorPair(node="sum", tensor="total", status="mapped", tflite_tensor="total", onnx_shape=(2, 5), permutation=(0, 1), evidence="name"),)
    inputs = (InputBinding("image", "image", (2, 6, 6, 5), (0, 1, 2, 3), "float32"),)
    tensor_map = TensorMap(pairs=pairs, inputs=inputs, outputs=pairs, owners=("sum",), absorbed={})
    files = Files(quantized, tensor_map, float_path, aligned(tflite.read(float_path), tflite.read(quantized)))
    sample = {"image": np.random.default_rng(0).uniform(-2, 2, (2, 6, 6, 5)).astype(np.float32)}
    found = first_kernel_difference(files, sample, memory_mb=4096)
    assert found is not None
    assert (found.code, found.node) == ("kernel-differs", "sum")
    assert first_kernel_difference(Files(quantized, tensor_map), sample, memory_mb=4096) is None
