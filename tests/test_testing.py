from pathlib import Path

import pytest

from bridge.testing import assert_quantizes

MODEL = Path(__file__).parents[1] / "models" / "digits_cnn_bn_silu"


def test_a_model_that_misses_a_gate_fails_with_its_worst_layers() -> None:
    with pytest.raises(AssertionError, match=r"gates not met: sqnr>=200 (.|\n)*lose most by themselves:\n  .+: own SQNR"):
        assert_quantizes(MODEL / "model.onnx", MODEL / "calibration.npz", gate="sqnr>=200", threads=1)


def test_a_good_model_passes_and_gives_its_report() -> None:
    assert assert_quantizes(MODEL / "model.onnx", MODEL / "calibration.npz", gate=("sqnr>=10",), threads=1).outputs
