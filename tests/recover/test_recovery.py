"""Which methods run, in which order, and what is said about them."""

from pathlib import Path

import numpy as np
import pytest
from small_nets import Layers, job, min_max

from bridge.errors import ToolError, UsageError
from bridge.recover import EQUALIZATION, METHODS, Outcome, recover
from bridge.recover.method import Method
from bridge.recover.recovery import attempt
from bridge.recover.trials import State, Trials
from bridge.recovery_names import DEFAULT_RECOVERY, RECOVERY_NAMES, check_recovery

VALUES = np.random.default_rng(1).standard_normal((12, 1, 8)).astype(np.float32)


def net(folder: Path) -> Path:
    """One dense layer."""
    return Layers(1, 8).dense("y", np.random.default_rng(2).standard_normal((3, 8)), np.zeros(3)).save(folder / "net.tflite")


def test_the_names_are_those_of_the_methods_in_their_order() -> None:
    assert tuple(METHODS) == RECOVERY_NAMES
    assert set(DEFAULT_RECOVERY) <= set(RECOVERY_NAMES)


def test_an_unknown_method_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"There is no recovery method 'magic'\.") as caught:
        check_recovery(["bias_correction", "magic"])
    assert all(name in caught.value.hint for name in RECOVERY_NAMES)


@pytest.mark.provokes("recovery")
def test_methods_run_in_the_order_of_the_table_whatever_order_is_given(tmp_path: Path) -> None:
    path = net(tmp_path)
    found = recover(job(path, VALUES), min_max(path, VALUES), tuple(reversed(RECOVERY_NAMES)), ranges_given=False)
    assert tuple(outcome.method for outcome in found.outcomes) == tuple(name for name in RECOVERY_NAMES if name != EQUALIZATION)


def test_one_sample_is_too_few(tmp_path: Path) -> None:
    path = net(tmp_path)
    found = recover(job(path, VALUES[:1]), min_max(path, VALUES), ["bias_correction"], ranges_given=False)
    assert found.diagnostics[0].message == "bias_correction: not tried, it needs three samples and an output that is float."


def test_what_is_taken_back_says_so_with_its_figures() -> None:
    message = Outcome("bias_correction", kept=False, reason="taken back", before_db=20.04, after_db=19.96, samples=8).diagnostic().message
    assert message == "bias_correction: taken back; 20.0 dB before it, 20.0 dB with it on 8 calibration samples not used by it."


def test_a_file_that_litert_refuses_ends_a_method_and_not_the_conversion(tmp_path: Path) -> None:
    def refused(trials: Trials, state: State) -> State:
        raise ToolError("the model: LiteRT cannot load it: no kernel.")

    path = net(tmp_path)
    state = State(min_max(path, VALUES))
    after, outcome = attempt(Method("refused", "", refused), Trials(job(path, VALUES)), state, ranges_given=False)
    assert after is state
    assert outcome.diagnostic().message == "refused: given up, the model: LiteRT cannot load it: no kernel."
