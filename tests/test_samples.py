"""Which samples serve what."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bridge.calibrate import Calibration
from bridge.samples import choose_evaluation, synthetic_evaluation
from bridge.types import TensorSpec

NORMAL: Any = SimpleNamespace(inputs=(TensorSpec("x", (1, 4), "float32"),))  # of a Graph only the inputs are looked at


def data(count: int) -> Calibration:
    return Calibration.from_arrays({"x": np.random.default_rng(count).standard_normal((count, 4)).astype(np.float32)})


def test_without_ranges_to_find_the_calibration_samples_serve_the_comparison() -> None:
    chosen = choose_evaluation(NORMAL, data(3), None, seed=0, ranges_given=False)
    assert len(chosen.evaluation) == 3
    assert chosen.diagnostics == ()


def test_without_ranges_to_find_evaluation_samples_come_first() -> None:
    assert len(choose_evaluation(NORMAL, data(3), data(5), seed=0, ranges_given=False).evaluation) == 5


@pytest.mark.provokes("synthetic-evaluation")
def test_without_any_samples_the_errors_are_said_to_be_those_on_random_numbers() -> None:
    chosen = choose_evaluation(NORMAL, None, None, seed=0, ranges_given=False)
    assert len(chosen.evaluation) > 0
    assert chosen.diagnostics == (synthetic_evaluation(),)
