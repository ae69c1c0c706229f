from pathlib import Path

import numpy as np
from two_layers import SAMPLES, Builder, int8_file

from bridge.compare.forms import Form
from bridge.compare.kernel_checks import check_kernels, check_shown
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter


def sum_of_pixels(path: Path) -> Path:
    """SUM in int8, whose reference kernel is wrong where the forms of input and output differ."""
    build = Builder()
    image, total = build.tensor("image", (2, 6, 6, 5), "INT8", Form(0.02, 3)), build.tensor("total_int8", (2, 5), "INT8", Form(0.2, 10))
    real = build.tensor("total", (2, 5))
    build.op("SUM", [image, build.constant("axes", np.array([1, 2], np.int32))], [total], 2)
    tflite.set_options(build.graph.operators[-1], "ReducerOptions")
    build.op("DEQUANTIZE", [total], [real], 2)
    return build.save(path, [image], [real])


FEEDS = {"image": np.random.default_rng(0).integers(-100, 100, (2, 6, 6, 5)).astype(np.int8)}


def test_kernels_that_agree_are_not_mentioned(tmp_path: Path) -> None:
    assert check_kernels(int8_file(tmp_path), {"x": SAMPLES[0]}, outputs_sqnr_db={0: 30.0}, threads=1) == ()


def test_kernels_that_compute_something_else_are_found_with_figures(tmp_path: Path) -> None:
    path = sum_of_pixels(tmp_path / "m.tflite")
    (found,) = check_kernels(path, FEEDS, outputs_sqnr_db={0: 30.0}, threads=1)
    assert (found.code, found.severity) == ("kernels-disagree", "warning")
    assert "'total' differs between the reference kernels and the optimised ones" in found.message
    assert "steps of 0.2" in found.message


def test_a_difference_below_the_whole_error_is_no_warning(tmp_path: Path) -> None:
    path = sum_of_pixels(tmp_path / "m.tflite")
    (found,) = check_kernels(path, FEEDS, outputs_sqnr_db={0: -20.0}, threads=1)
    assert found.severity == "info"


def test_outputs_that_change_when_tensors_are_shown_are_found(tmp_path: Path) -> None:
    path = int8_file(tmp_path)
    (shown,) = Interpreter(path).run({"x": SAMPLES[0]})
    assert check_shown(path, {"x": SAMPLES[0]}, [shown], threads=1) == ()
    assert check_shown(path, {"x": SAMPLES[0]}, [shown + np.float32(0.09)], threads=1) == ()  # one step: a rounding to the other neighbour
    (found,) = check_shown(path, {"x": SAMPLES[0]}, [shown + np.float32(0.18)], threads=1)
    assert found.code == "shown-tensors-change-outputs"
    assert "by up to 2 steps of 0.09" in found.message
