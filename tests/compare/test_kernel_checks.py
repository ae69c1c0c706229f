from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from two_layers import SAMPLES, Builder, int8_file

from bridge.compare import kernel_checks
from bridge.compare.forms import Form
from bridge.compare.kernel_checks import check_kernels, check_shown
from bridge.errors import ToolError
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter, Kernels


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
    assert check_kernels(int8_file(tmp_path), {"x": SAMPLES[0]}, expected={}, threads=1) == ()


@pytest.mark.provokes("kernels-disagree")
def test_kernels_that_compute_something_else_are_found_with_figures(tmp_path: Path) -> None:
    path = sum_of_pixels(tmp_path / "m.tflite")
    (found,) = check_kernels(path, FEEDS, expected={}, threads=1)
    assert (found.code, found.severity) == ("kernels-disagree", "warning")
    assert found.message.startswith("1 output differs between the reference kernels and the optimised ones: 'total' by up to")
    assert "steps of 0.2" in found.message


def test_kernels_that_are_equally_far_from_the_model_are_no_warning(tmp_path: Path) -> None:
    path = sum_of_pixels(tmp_path / "m.tflite")
    (optimised,), (reference,) = Interpreter(path).run(FEEDS), Interpreter(path, kernels="reference").run(FEEDS)
    for share, severity in ((0.5, "info"), (0.0, "warning")):  # where between the two the model is
        (found,) = check_kernels(path, FEEDS, expected={0: optimised + np.float32(share) * (reference - optimised)}, threads=1)
        assert found.severity == severity, found.message


@pytest.mark.provokes("shown-tensors-change-outputs")
def test_outputs_that_change_when_tensors_are_shown_are_found(tmp_path: Path) -> None:
    path = int8_file(tmp_path)
    (shown,) = Interpreter(path).run({"x": SAMPLES[0]})
    assert check_shown(path, {"x": SAMPLES[0]}, [shown], threads=1) == ()
    assert check_shown(path, {"x": SAMPLES[0]}, [shown + np.float32(0.09)], threads=1) == ()  # one step: a rounding to the other neighbour
    (found,) = check_shown(path, {"x": SAMPLES[0]}, [shown + np.float32(0.18)], threads=1)
    assert found.code == "shown-tensors-change-outputs"
    assert "by up to 2 steps of 0.09" in found.message


@pytest.mark.provokes("kept-tensors-change-outputs")
def test_outputs_that_change_when_tensors_are_kept_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, shift = int8_file(tmp_path), np.float32(0.18)
    (plain,) = Interpreter(path).run({"x": SAMPLES[0]})

    class Shifting(Interpreter):
        def __init__(self, model: Path, *, threads: int = 1, preserve_all_tensors: bool = False) -> None:
            super().__init__(model, threads=threads)
            self._shift = shift if preserve_all_tensors else np.float32(0)

        def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
            return [value + self._shift for value in super().run(inputs)]

    monkeypatch.setattr(kernel_checks, "Interpreter", Shifting)
    (found,) = check_shown(path, {"x": SAMPLES[0]}, [plain], threads=1)
    assert found.code == "kept-tensors-change-outputs"
    assert check_shown(path, {"x": SAMPLES[0]}, [plain], keep=False, threads=1) == ()


@pytest.mark.provokes("no-reference-kernels")
def test_a_file_that_the_reference_kernels_refuse_is_not_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Optimised(Interpreter):
        def __init__(self, model: Path, *, threads: int = 1, kernels: Kernels = "optimized") -> None:
            if kernels == "reference":
                raise ToolError("LiteRT cannot load it")
            super().__init__(model, threads=threads)

    monkeypatch.setattr(kernel_checks, "Interpreter", Optimised)
    (found,) = check_kernels(int8_file(tmp_path), {"x": SAMPLES[0]}, expected={}, threads=1)
    assert (found.code, found.severity) == ("no-reference-kernels", "info")
