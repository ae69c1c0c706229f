from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")
nn = torch.nn

from torch_nets import Vit, share_within_one_step, trained  # noqa: E402  # needs torch

from bridge import qat  # noqa: E402
from bridge.qat.handlers import HANDLERS  # noqa: E402


class Swish17(nn.Module):  # type: ignore[misc, name-defined]  # torch is loaded by name
    """x * sigmoid(1.7 x)."""

    def forward(self, x: Any) -> Any:
        return x * torch.sigmoid(1.7 * x)


class Mixing(nn.Module):  # type: ignore[misc, name-defined]  # torch is loaded by name
    """A layer with a matrix of its own, [in, out], in place of an attention."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(width, width) * 0.2)
        self.gate = nn.Parameter(torch.randn(width))

    def forward(self, x: Any) -> Any:
        return torch.cos(x @ self.matrix) * self.gate


@pytest.fixture(autouse=True)
def _handlers_of_one_test() -> Iterator[None]:
    before = dict(HANDLERS)
    yield
    HANDLERS.clear()
    HANDLERS.update(before)


def test_custom_layer_within_one_step(tmp_path: Path) -> None:
    qat.handler(Mixing)(lambda layer: qat.Places(weights={"matrix": 1}, inner=("matmul",)))
    prepared = trained(Vit(Mixing))
    weights = [part for name, part in prepared.named_modules() if name.endswith("attention_matrix_weight")]
    assert [part.axis for part in weights] == [1]
    share, ops = share_within_one_step(prepared, tmp_path / "out")
    assert share >= 0.999
    assert (ops["FULLY_CONNECTED", "int8"], ops["COS", "float32"]) == (4, 1)


def test_custom_activation_within_one_step(tmp_path: Path) -> None:
    qat.handler(Swish17)(lambda layer: qat.Places())
    share, ops = share_within_one_step(trained(Vit(activation=Swish17), rules=("all-int8",)), tmp_path / "out")
    assert share >= 0.999
    assert (ops["LOGISTIC", "int8"], ops["LOGISTIC", "float32"]) == (0, 1)
