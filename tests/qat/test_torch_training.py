import io
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")
nn = torch.nn

from torch_nets import Cnn, batch, fit  # noqa: E402  # needs torch

from bridge import qat  # noqa: E402


def _prepared(**options: Any) -> Any:
    return qat.prepare(Cnn(), (batch(0)[0],), rules=("all-int8",), **options)


def _bytes(prepared: Any, folder: Path) -> bytes:
    return qat.convert(prepared.eval(), (batch(0, 2)[0],), output_dir=folder, threads=1, compare=False).artifacts["static_wi8_ai8"].read_bytes()


def test_checkpoint_in_a_new_module_gives_the_same_file(tmp_path: Path) -> None:
    first = fit(_prepared(ranges="learned"), 3)
    qat.freeze(first)
    saved = io.BytesIO()
    torch.save(first.state_dict(), saved)
    saved.seek(0)
    second = _prepared(ranges="learned")
    second.load_state_dict(torch.load(saved))
    assert _bytes(second, tmp_path / "second") == _bytes(first, tmp_path / "first")


def test_a_frozen_checkpoint_stays_frozen_where_training_goes_on() -> None:
    first = _prepared(ranges="learned")
    qat.freeze(first)
    second = _prepared(ranges="learned")
    second.load_state_dict(first.state_dict())
    steps = {name: value.clone() for name, value in second.state_dict().items() if name.endswith((".step", ".scale"))}
    weights = {name: value.clone() for name, value in second.state_dict().items() if value.dim() == 4}
    fit(second, 2)
    after = second.state_dict()
    assert steps
    assert weights
    assert all(torch.equal(after[name], value) for name, value in steps.items())
    assert not any(torch.equal(after[name], value) for name, value in weights.items())


def test_compiled_module_trains_alike() -> None:
    plain, other = _prepared(), _prepared()
    compiled = torch.compile(other, backend="aot_eager")
    for one in (plain, compiled):
        one.train()
        torch.manual_seed(0)
        nn.functional.cross_entropy(one(batch(0)[0]), batch(0)[1]).backward()
    for expected, received in zip(plain.parameters(), other.parameters(), strict=True):
        assert torch.allclose(received.grad, expected.grad, atol=1e-4)


def test_gradients_of_two_halves_accumulate() -> None:
    prepared = _prepared()
    qat.freeze(prepared)
    for part in prepared.modules():
        if isinstance(part, nn.Dropout):
            part.eval()
    x, labels = batch(0)
    nn.functional.cross_entropy(prepared(x), labels).backward()
    whole = [one.grad.clone() for one in prepared.parameters()]
    prepared.zero_grad()
    for half in (slice(0, 32), slice(32, 64)):
        (nn.functional.cross_entropy(prepared(x[half]), labels[half]) / 2).backward()
    assert all(torch.allclose(one.grad, expected, atol=1e-5) for one, expected in zip(prepared.parameters(), whole, strict=True))
