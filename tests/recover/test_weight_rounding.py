"""Scales and rounding of weights."""

from pathlib import Path

import numpy as np
import pytest
from small_nets import INT8, RELU, Layers, job, min_max, run, sqnr_db

from bridge import quantize
from bridge.recover import recover
from bridge.recover.adaround import rounded_rows

RNG = np.random.default_rng(8)
MIXING = RNG.standard_normal((4, 4))
VALUES = (RNG.standard_normal((30, 1, 6, 6, 4)) @ MIXING).astype(np.float32)  # channels that go together
INT4 = "weight_only_wi4_afp32"


def net(folder: Path) -> Path:
    """A convolution, a depthwise one and a dense layer, with strides of one and padding."""
    layers = Layers(1, 6, 6, 4).conv("a", RNG.standard_normal((6, 3, 3, 4)), np.zeros(6), activation=RELU)
    layers = layers.depthwise("b", RNG.standard_normal((1, 3, 3, 6)), np.zeros(6), activation=RELU)
    return layers.dense("c", RNG.standard_normal((3, 216)), np.zeros(3)).save(folder / "net.tflite")


def gain_db(path: Path, method: str, precision: str) -> tuple[float, bool]:
    """How much nearer the output is with a method, and whether it was kept."""
    task = job(path, VALUES, precision=precision)
    known = min_max(path, VALUES) if precision == INT8 else None
    found = recover(task, known, [method], ranges_given=False)
    results = []
    for corrections in (quantize.Corrections(), found.corrections):
        made = quantize.quantize(
            path, path.with_suffix(".q.tflite"), ranges=known, op_precisions=task.op_precisions, precision=precision, corrections=corrections
        )
        results.append(sqnr_db(run(path, VALUES), run(made.path, VALUES)))
    return results[1] - results[0], found.outcomes[0].kept


@pytest.mark.parametrize("method", ["mse_weights", "adaround"])
def test_int4_weights_lose_less(tmp_path: Path, method: str) -> None:
    gain, kept = gain_db(net(tmp_path), method, INT4)
    assert kept
    assert gain > 0.5


def test_rounding_uses_that_inputs_go_together(tmp_path: Path) -> None:
    path = Layers(1, 6, 6, 4).conv("a", RNG.standard_normal((6, 3, 3, 4)), np.zeros(6)).save(tmp_path / "net.tflite")
    gain, kept = gain_db(path, "adaround", INT4)
    assert kept
    assert gain > 1


def test_without_correlation_weights_are_rounded_to_nearest() -> None:
    rows = RNG.standard_normal((1, 5, 8))
    steps = np.full((1, 5), 0.25)
    found = rounded_rows(rows, 100 * np.eye(8)[None], steps, (-128, 127))
    assert found == pytest.approx(np.rint(rows / 0.25) * 0.25)


def test_the_error_in_the_metric_of_the_inputs_is_never_larger_than_that_of_rounding_to_nearest() -> None:
    inputs = RNG.standard_normal((200, 3)) @ RNG.standard_normal((3, 12))  # twelve inputs, three degrees of freedom
    gram = (inputs.T @ inputs)[None]
    rows, steps = RNG.standard_normal((1, 40, 12)), np.full((1, 40), 0.3)
    found = rounded_rows(rows, gram, steps, (-8, 7))
    nearest = np.clip(np.rint(rows / 0.3), -8, 7) * 0.3
    errors = [np.einsum("lrk,lkm,lrm->lr", rows - one, gram, rows - one) for one in (found, nearest)]
    assert (errors[0] <= errors[1] * (1 + 1e-9)).all()
    assert errors[0].sum() < 0.5 * errors[1].sum()
    assert np.abs(found / 0.3 - np.rint(found / 0.3)).max() < 1e-9
    assert np.abs(found).max() <= 8 * 0.3 + 1e-9
