from pathlib import Path

import numpy as np
import pytest
from test_outputs import Data
from two_layers import B1, SAMPLES, W1, H, X, converted, first, float_file, int8_file, onnx_model, quantized, weights_in_int8

from bridge.compare import OnnxRunner, value_ranges
from bridge.compare.value_ranges import value_histograms, weight_channels
from bridge.tflite import model as tflite
from bridge.types import QuantizedModel


def test_every_value_is_counted_and_the_range_is_that_of_the_integers(tmp_path: Path) -> None:
    both = quantized(int8_file(tmp_path), (1, 2))
    (found,) = value_histograms(OnnxRunner(onnx_model()), converted(tmp_path), both, Data(SAMPLES[:5]), ["h"], threads=1)
    values = first(SAMPLES[:5])
    assert found.samples == 5
    assert sum(found.reference) == sum(found.candidate) == values.size
    assert (found.minimum, found.maximum) == pytest.approx((values.min(), values.max()))
    expected = np.histogram(values.astype(np.float32), bins=len(found.reference), range=(found.minimum, found.maximum))[0]
    assert np.abs(expected - np.asarray(found.reference)).sum() <= 4  # a value on the edge of a bin may fall to either side in float32
    assert (found.range_minimum, found.range_maximum) == pytest.approx(((-128 - H.zero_point) * H.scale, (127 - H.zero_point) * H.scale))


def test_what_the_range_clips_is_the_share_of_values_beyond_it(tmp_path: Path) -> None:
    both, loud = quantized(int8_file(tmp_path), (1, 2)), SAMPLES[:8] * 3
    (found,) = value_histograms(OnnxRunner(onnx_model()), converted(tmp_path), both, Data(loud), ["h"], threads=1)
    values = first(loud)
    high = (127 - H.zero_point) * H.scale + H.scale / 2
    assert found.clipped_above == pytest.approx(float(np.mean(values > high)))
    assert np.mean(values > high) > 0.05
    assert ((values > high - 20 * H.scale) & (values < high)).any()  # a bound a little lower would count more


def test_a_float_tensor_has_no_range_and_one_that_is_not_there_no_histogram(tmp_path: Path) -> None:
    source = converted(tmp_path)
    same = QuantizedModel(float_file(tmp_path), "", "float32", quantized(source.path, (0, 1)).ops)
    found = value_histograms(OnnxRunner(onnx_model()), source, same, Data(SAMPLES[:2]), ["h", "no-such"], threads=1)
    assert [(one.tensor, one.range_minimum, one.clipped_above) for one in found] == [("h", None, None)]
    assert found[0].reference == found[0].candidate


def test_fewer_samples_are_taken_where_tensors_are_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(value_ranges, "KEPT_ELEMENTS", 2 * first(SAMPLES[:1]).size + 1)
    both = quantized(int8_file(tmp_path), (1, 2))
    (found,) = value_histograms(OnnxRunner(onnx_model()), converted(tmp_path), both, Data(SAMPLES), ["h"], threads=1)
    assert found.samples == 2
    assert sum(found.reference) == 2 * first(SAMPLES[:1]).size


def test_channels_are_as_wide_as_their_largest_weight(tmp_path: Path) -> None:
    path = int8_file(tmp_path)
    model = tflite.read(path)
    weight = next(tensor for tensor in tflite.main_graph(model).tensors if tflite.text(tensor.name) == "w" and tflite.shape(tensor) == W1.shape)
    tflite.set_type(weight, "INT8", [0.01, 0.5, 0.1], [0, 0, 0], axis=0)
    path.write_bytes(tflite.serialize(model))
    (found,) = weight_channels(converted(tmp_path), quantized(path, (1, 2)), ["first", "no-such"])
    stored = np.abs(weights_in_int8(W1, B1, X)[0].astype(int)).max(axis=1)
    assert (found.node, found.op, found.channels) == ("first", "FULLY_CONNECTED", 3)
    assert found.widths == pytest.approx(sorted(stored * [0.01, 0.5, 0.1], reverse=True), rel=1e-3)


def test_a_weight_with_one_scale_has_no_channels(tmp_path: Path) -> None:
    assert weight_channels(converted(tmp_path), quantized(int8_file(tmp_path), (1, 2)), ["first"]) == ()
