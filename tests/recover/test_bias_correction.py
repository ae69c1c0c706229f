"""Biases that restore the mean of every channel."""

from pathlib import Path

import numpy as np
import pytest
from small_nets import RELU, Layers, job, min_max, run, sqnr_db

from bridge import quantize
from bridge.recover import recover

RNG = np.random.default_rng(3)
VALUES = np.abs(RNG.standard_normal((30, 1, 6, 6, 4))).astype(np.float32)  # positive, so that rounding errors of weights shift means


def weight(*shape: int) -> np.ndarray:
    """Values just above the middle between two steps, so that all are rounded up; one large value per channel sets the scale."""
    found = np.full(shape, 0.6)
    found.reshape(len(found), -1)[:, 0] = 127.0
    return found / 64


def recovered(path: Path, precision: str = "static_wi8_ai8") -> tuple[float, float, str]:
    """SQNR of the output without and with bias correction, and what the outcome says."""
    task = job(path, VALUES, precision=precision)
    known = min_max(path, VALUES) if precision.startswith("static") else None
    found = recover(task, known, ["bias_correction"], ranges_given=False)
    results = []
    for corrections in (quantize.Corrections(), found.corrections):
        made = quantize.quantize(
            path, path.with_suffix(".q.tflite"), ranges=known, op_precisions=task.op_precisions, precision=precision, corrections=corrections
        )
        results.append(sqnr_db(run(path, VALUES), run(made.path, VALUES)))
    return results[0], results[1], found.diagnostics[0].message


def test_the_mean_that_rounded_weights_shift_is_restored(tmp_path: Path) -> None:
    layers = Layers(1, 6, 6, 4).conv("a", weight(5, 3, 3, 4), RNG.standard_normal(5), activation=RELU).conv("b", weight(3, 1, 1, 5), np.zeros(3))
    before, after, message = recovered(layers.save(tmp_path / "net.tflite"))
    assert after > before + 3
    assert message.startswith("bias_correction: kept; ")
    assert "on 10 calibration samples not used by it" in message


def test_depthwise_and_dense_layers_are_corrected_too(tmp_path: Path) -> None:
    shape = weight(4, 9).T.reshape(1, 3, 3, 4)
    layers = Layers(1, 6, 6, 4).depthwise("a", shape, np.zeros(4), activation=RELU).dense("b", weight(3, 144), np.zeros(3))
    before, after, _ = recovered(layers.save(tmp_path / "net.tflite"))
    assert after > before + 3


@pytest.mark.parametrize("precision", ["weight_only_wi8_afp32", "weight_only_wi4_afp32", "dynamic_wi8_afp32"])
def test_float_activations_need_no_ranges(tmp_path: Path, precision: str) -> None:
    layers = Layers(1, 6, 6, 4).conv("a", weight(5, 3, 3, 4), RNG.standard_normal(5), activation=RELU)
    path = layers.save(tmp_path / "net.tflite")
    before, after, _ = recovered(path, precision)
    assert after > before + 3


def test_float_operators_are_left_alone(tmp_path: Path) -> None:
    path = Layers(1, 6, 6, 4).conv("a", weight(5, 3, 3, 4), np.zeros(5)).save(tmp_path / "net.tflite")
    found = recover(job(path, VALUES, precision="float32"), None, ["bias_correction"], ranges_given=False)
    assert not found.corrections.biases
    assert not found.outcomes
