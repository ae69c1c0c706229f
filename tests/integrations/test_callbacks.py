"""The callbacks in a `fit` of their framework; Lightning is stood in for by the two calls that its Trainer makes."""

import contextlib
import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import bridge
from bridge.errors import GateError, UsageError

with contextlib.suppress(ModuleNotFoundError):
    import torch._dynamo  # its LLVM and TensorFlow's bear each other in this order only

X = np.random.default_rng(0).standard_normal((16, 6)).astype(np.float32)


@pytest.fixture
def lightning(monkeypatch: pytest.MonkeyPatch) -> Any:
    pytest.importorskip("torch", reason="the extra `torch` is not installed")
    package, inner = ModuleType("lightning"), ModuleType("lightning.pytorch")
    inner.Callback = type("Callback", (), {})  # type: ignore[attr-defined]  # a stand-in
    monkeypatch.setitem(sys.modules, "lightning", package)
    monkeypatch.setitem(sys.modules, "lightning.pytorch", inner)
    monkeypatch.delitem(sys.modules, "bridge.integrations.lightning", raising=False)
    return importlib.import_module("bridge.integrations.lightning")


def test_the_lightning_callback_traces_with_the_array_of_the_module(lightning: Any, tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(6, 3))
    module.example_input_array = torch.zeros(1, 6)
    calibration = bridge.Calibration.from_iterable([(row[None],) for row in X])
    callback: Any = lightning.Quantize(calibration=calibration, output_dir=tmp_path / "out", gate="sqnr>=500", recover=(), threads=1)
    callback.on_fit_end(SimpleNamespace(is_global_zero=False), module)
    assert callback.result is None, "another process converts"
    with pytest.raises(GateError, match=r"1 of 1 gates not met: sqnr>=500"):
        callback.on_fit_end(SimpleNamespace(is_global_zero=True), module)
    result: Any = callback.result
    assert result.artifacts["static_wi8_ai8"].is_file()


def test_a_gate_that_cannot_be_read_is_refused_before_training(lightning: Any) -> None:
    with pytest.raises(UsageError, match="snr"):
        lightning.Quantize(gate="snr>=3")


def test_the_keras_callback_converts_when_fit_ends(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras", reason="the extra `tensorflow` is not installed")
    pytest.importorskip("tensorflow", reason="the extra `tensorflow` is not installed")
    from bridge.integrations.keras import Quantize

    keras.utils.set_random_seed(0)
    net = keras.Sequential([keras.Input((6,), batch_size=1, name="x"), keras.layers.Dense(3, name="head")])
    net.compile(loss="mse")
    callback = Quantize(
        calibration=bridge.Calibration.from_arrays({"x": X[:, None]}), output_dir=tmp_path / "out", gate="sqnr>=10", recover=(), threads=1
    )
    net.fit(X, X[:, :3], batch_size=1, verbose=0, callbacks=[callback])
    assert callback.result is not None
    assert callback.result.report.verdict.passed
