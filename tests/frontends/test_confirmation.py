import numpy as np
import pytest

from bridge.errors import ToolError
from bridge.frontends.confirmation import confirmation

STEP = 0.1
X = {"x": np.zeros(1, np.float32)}
EXPECTED = (np.random.default_rng(0).normal(0, 30, 1000).round() * STEP).astype(np.float32)


def _confirm(received: np.ndarray, *, rounds: bool) -> None:
    confirmation("wrong export", ["y"], X, [EXPECTED], rounds=rounds)(lambda feeds: {"y": received})


@pytest.mark.provokes("export-differs")
def test_single_steps_are_the_same_model_where_both_round() -> None:
    received = EXPECTED.copy()
    received[::50] += STEP
    _confirm(received, rounds=True)
    with pytest.raises(ToolError, match="wrong export at output 'y'"):
        _confirm(received, rounds=False)


@pytest.mark.parametrize("wrong", [EXPECTED * 1.02, EXPECTED + STEP, EXPECTED[::-1]], ids=["scale", "zero point", "axis"])
def test_another_model_is_refused_where_both_round(wrong: np.ndarray) -> None:
    with pytest.raises(ToolError, match="wrong export at output 'y'"):
        _confirm(wrong, rounds=True)
