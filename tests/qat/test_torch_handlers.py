from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")
nn = torch.nn

from torch_nets import Patches, share_within_one_step, trained  # noqa: E402  # needs torch

from bridge import qat  # noqa: E402
from bridge.errors import UsageError  # noqa: E402
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


class ReluAttention(nn.Module):  # type: ignore[misc, name-defined]  # torch is loaded by name
    """One head, with relu in place of softmax and matrices of its own, [in, out]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Parameter(torch.randn(width, width) * width**-0.5) for _ in range(3))

    def forward(self, x: Any) -> Any:
        scores = (x @ self.query) @ (x @ self.key).transpose(1, 2) * 0.1
        return torch.relu(scores) @ (x @ self.value)


@pytest.fixture(autouse=True)
def _handlers_of_one_test() -> Iterator[None]:
    before = dict(HANDLERS)
    yield
    HANDLERS.clear()
    HANDLERS.update(before)


def test_custom_layer_within_one_step(tmp_path: Path) -> None:
    qat.handler(Mixing)(lambda layer: qat.Places(weights={"matrix": 1}, inner=("matmul",)))
    prepared = trained(Patches(Mixing(16)))
    weights = [part for name, part in prepared.named_modules() if name.endswith("layer_matrix_weight")]
    assert [part.axis for part in weights] == [1]
    share, ops = share_within_one_step(prepared, tmp_path / "out")
    assert share >= 0.999
    assert (ops["FULLY_CONNECTED", "int8"], ops["COS", "float32"]) == (2, 1)


@pytest.mark.parametrize("inner", [pytest.param((), marks=pytest.mark.slow), ("mul", "sigmoid")], ids=["float inside", "integer inside"])
def test_custom_activation_within_one_step(tmp_path: Path, inner: tuple[str, ...]) -> None:
    qat.handler(Swish17)(lambda layer: qat.Places(inner=inner))
    share, ops = share_within_one_step(trained(Patches(Swish17()), rules=("all-int8",)), tmp_path / "out")
    assert share >= 0.999
    assert (ops["LOGISTIC", "int8"], ops["LOGISTIC", "float32"]) == ((1, 0) if inner else (0, 1))
    assert (ops["MUL", "int8"], ops["MUL", "float32"]) == ((2, 0) if inner else (0, 2))


def test_custom_attention_within_one_step(tmp_path: Path) -> None:
    qat.handler(ReluAttention)(lambda layer: qat.Places(weights={"query": 1, "key": 1, "value": 1}, inner=("matmul", "mul", "relu")))
    share, ops = share_within_one_step(trained(Patches(ReluAttention(16)), rules=("all-int8",)), tmp_path / "out")
    assert share >= 0.999
    assert (ops["FULLY_CONNECTED", "int8"], ops["BATCH_MATMUL", "int8"], ops["BATCH_MATMUL", "float32"]) == (4, 2, 0)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (qat.Places(inner=("matmul", "softmax")), r"^1: Mixing has no operator 'softmax'. Received: \('matmul', 'softmax'\)"),
        (qat.Places(weights={"kernel": 0}), r"^1: the layer's operators read no parameter of that name. Received: 'kernel'"),
    ],
    ids=["operator", "weight"],
)
def test_handler_that_names_what_is_not_there_is_refused(said: qat.Places, message: str) -> None:
    qat.handler(Mixing)(lambda layer: said)
    with pytest.raises(UsageError, match=message):
        qat.prepare(nn.Sequential(nn.Linear(4, 4), Mixing(4)), (torch.ones(2, 4),))
