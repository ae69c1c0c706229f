from pathlib import Path
from typing import Any

import ai_edge_litert.interpreter as litert
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")
nn = torch.nn

from bridge import qat  # noqa: E402  # needs torch
from bridge.errors import UsageError  # noqa: E402


class Cnn(nn.Module):  # type: ignore[misc, name-defined]  # torch is loaded by name
    """Conv-BN-ReLU, a residual Conv-BN, mean, Linear."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.c1, self.b1 = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.c2, self.b2 = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 10)

    def forward(self, x: Any) -> Any:
        x = torch.relu(self.b1(self.c1(x)))
        x = torch.relu(x + self.b2(self.c2(x)))
        return self.fc(x.mean((2, 3)))


def test_trained_cnn_equals_its_int8_file_within_one_step(tmp_path: Path) -> None:
    x = torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    prepared = qat.prepare(Cnn(), (x,), rules=("all-int8",))
    assert dict(Cnn().named_parameters()).keys() == dict(prepared.named_parameters()).keys()
    optimizer = torch.optim.SGD(prepared.parameters(), 0.01)
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(prepared(x), torch.arange(64) % 10).backward()
        optimizer.step()
    qat.freeze(prepared)
    prepared.eval()
    result = qat.convert(prepared, (x,), output_dir=tmp_path / "out", threads=1, compare=False)
    runner = litert.Interpreter(model_path=str(result.artifacts["static_wi8_ai8"]), num_threads=1)
    runner.allocate_tensors()
    entry = runner.get_input_details()[0]
    values = x.numpy()
    runner.set_tensor(entry["index"], values if tuple(entry["shape"]) == values.shape else values.transpose(0, 2, 3, 1))
    runner.invoke()
    received = runner.get_tensor(runner.get_output_details()[0]["index"])
    with torch.no_grad():
        expected = prepared(x).numpy()
    step = np.min(np.diff(np.unique(expected.round(6))))
    assert np.mean(np.abs(received - expected) <= 1.01 * step) >= 0.999
    assert sum(op["op_name"] in ("CONV_2D", "FULLY_CONNECTED", "ADD") for op in runner._get_ops_details()) == 4


def test_module_without_integer_operators_is_refused() -> None:
    with pytest.raises(UsageError, match="No operator of the module becomes an integer one"):
        qat.prepare(nn.LayerNorm(4), (torch.zeros(2, 4),))
