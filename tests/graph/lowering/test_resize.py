"""Resize: kept where TFLite's kernels compute the same, else gathered or multiplied."""

import numpy as np
import pytest
from onnx_text import Normalize

COORDINATES = ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric")
SIZES = ((8, 8), (7, 9), (2, 3), (12, 5), (1, 4))


def resized(attributes: str, operand: str) -> str:
    return f'(float[1, 3, 4, 5] x) => (float[1, 3, "H", "W"] y) {{ y = Resize<{attributes}>({operand}) }}'


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_mode_equals_onnxruntime(normalized: Normalize, mode: str, coordinates: str, size: tuple[int, int]) -> None:
    attributes = f'mode = "{mode}", coordinate_transformation_mode = "{coordinates}"'
    result = normalized(resized(attributes, "x, , , s"), opset=19, constants={"s": np.array([1, 3, *size])})
    assert result.graph.outputs[0].shape == (1, 3, *size)
    assert result.worst_sqnr_db() > 110


@pytest.mark.parametrize("rounding", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
@pytest.mark.parametrize("scales", [(2, 2), (1.3, 0.7), (0.5, 3)], ids=str)
@pytest.mark.parametrize("coordinates", ["half_pixel", "asymmetric"])
def test_nearest_by_scales_equals_onnxruntime(normalized: Normalize, rounding: str, scales: tuple[float, float], coordinates: str) -> None:
    attributes = f'mode = "nearest", nearest_mode = "{rounding}", coordinate_transformation_mode = "{coordinates}"'
    result = normalized(resized(attributes, "x, , s"), opset=19, constants={"s": np.array([1, 1, *scales], np.float32)})
    assert result.worst_sqnr_db() == float("inf")


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("extra", ["", ", antialias = 1"])
@pytest.mark.parametrize("scales", [(1.3, 1.3), (0.6, 0.45)], ids=str)
def test_weights_by_scales_equal_onnxruntime(normalized: Normalize, mode: str, extra: str, scales: tuple[float, float]) -> None:
    result = normalized(resized(f'mode = "{mode}"{extra}', "x, , s"), opset=19, constants={"s": np.array([1, 1, *scales], np.float32)})
    assert "Resize" not in result.ops
    assert "Gemm" in result.ops
    assert result.worst_sqnr_db() > 100  # onnxruntime computes the coordinates in float32


@pytest.mark.parametrize("extra", ["cubic_coeff_a = -0.5", "exclude_outside = 1"])
def test_cubic_variants_equal_onnxruntime(normalized: Normalize, extra: str) -> None:
    result = normalized(resized(f'mode = "cubic", {extra}', "x, , , s"), opset=19, constants={"s": np.array([1, 3, 7, 9])})
    assert "Resize" not in result.ops
    assert result.worst_sqnr_db() > 100


@pytest.mark.parametrize(
    "attributes",
    [
        'mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"',
        'mode = "nearest"',
        'mode = "linear"',
        'mode = "linear", coordinate_transformation_mode = "align_corners"',
        'mode = "linear", coordinate_transformation_mode = "pytorch_half_pixel"',
        'mode = "cubic"',
    ],
)
def test_what_tflite_computes_alike_stays_one_operator(normalized: Normalize, attributes: str) -> None:
    assert normalized(resized(attributes, "x, , s"), opset=19, constants={"s": np.array([1, 1, 2, 2], np.float32)}).ops == ["Resize"]


def test_sizes_of_chosen_axes_become_sizes_of_all(normalized: Normalize) -> None:
    result = normalized(resized('mode = "linear", axes = [3, 2]', "x, , , s"), opset=19, constants={"s": np.array([10, 8])})
    assert result.ops == ["Resize"]
    assert result.graph.outputs[0].shape == (1, 3, 8, 10)
    assert "axes" not in result.graph.nodes[0].attributes
    assert result.worst_sqnr_db() > 110


@pytest.mark.parametrize(("policy", "expected"), [("not_larger", (4, 5)), ("not_smaller", (7, 9))])
def test_a_kept_aspect_ratio_is_resolved(normalized: Normalize, policy: str, expected: tuple[int, int]) -> None:
    attributes = f'mode = "nearest", axes = [2, 3], keep_aspect_ratio_policy = "{policy}"'
    result = normalized(resized(attributes, "x, , , s"), opset=19, constants={"s": np.array([7, 5])})
    assert result.graph.outputs[0].shape[2:] == expected
    assert "keep_aspect_ratio_policy" not in result.graph.nodes[0].attributes
    assert result.worst_sqnr_db() == float("inf")


def test_crop_and_resize_stays(normalized: Normalize) -> None:
    text = '(float[1, 1, 4, 4] x) => (float[1, 1, 3, 3] y) { y = Resize<coordinate_transformation_mode = "tf_crop_and_resize">(x, r, , s) }'
    constants = {"r": np.array([0, 0, 0.4, 0.6, 1, 1, 0.6, 0.8], np.float32), "s": np.array([1, 1, 3, 3])}
    assert normalized(text, opset=19, constants=constants).ops == ["Resize"]


def test_sequences_and_volumes_are_gathered_where_tflite_has_no_kernel(normalized: Normalize) -> None:
    text = '(float[1, 2, 2, 3, 3] x) => (float[1, 2, 4, 6, 6] y) { y = Resize<mode = "nearest">(x, , s) }'
    result = normalized(text, opset=19, constants={"s": np.array([1, 1, 2, 2, 2], np.float32)})
    assert result.ops == ["Gather"] * 3
    assert result.worst_sqnr_db() == float("inf")
