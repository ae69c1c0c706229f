from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")
nn = torch.nn

from torch_nets import Attention, Cnn, FusedAttention, Vit, batch, share_within_one_step, trained  # noqa: E402  # needs torch

from bridge import qat  # noqa: E402
from bridge.errors import UsageError  # noqa: E402

ENOUGH = 0.999  # of the output values


@pytest.mark.parametrize("ranges", ["moving_average", pytest.param("learned", marks=pytest.mark.slow)])
def test_trained_cnn_equals_its_int8_file_within_one_step(tmp_path: Path, ranges: Any) -> None:
    prepared = trained(Cnn(), rules=("all-int8",), ranges=ranges)
    names = {name for name, _ in prepared.named_parameters()}
    assert {name for name, _ in Cnn().named_parameters()} == {name for name in names if not name.startswith("qat.")}
    share, ops = share_within_one_step(prepared, tmp_path / "out")
    assert share >= ENOUGH
    assert (ops["CONV_2D", "int8"], ops["FULLY_CONNECTED", "int8"], ops["ADD", "int8"], ops["MEAN", "int8"]) == (2, 1, 1, 1)


@pytest.mark.parametrize("attention", [Attention, pytest.param(FusedAttention, marks=pytest.mark.slow)])
def test_trained_transformer_equals_its_int8_file_within_one_step(tmp_path: Path, attention: Any) -> None:
    """Linear over tokens and both products of the attention are integer; LayerNorm, GELU and the sums float by the default rules."""
    share, ops = share_within_one_step(trained(Vit(attention)), tmp_path / "out")
    assert share >= ENOUGH
    assert (ops["FULLY_CONNECTED", "int8"], ops["BATCH_MATMUL", "int8"], ops["SOFTMAX", "int8"]) == (5, 2, 1)
    assert (ops["GELU", "float32"], ops["GELU", "int8"], ops["FULLY_CONNECTED", "float32"], ops["BATCH_MATMUL", "float32"]) == (1, 0, 0, 0)


@pytest.mark.parametrize("options", [{"symmetric": True, "weight_bits": 4}, {"per_channel": False, "ranges": "learned"}], ids=str)
def test_schemes_equal_their_files(tmp_path: Path, options: dict[str, Any]) -> None:
    prepared = trained(Cnn(), rules=("all-int8",), float_steps=20, steps=4, **options)
    quantizers = {name: part for name, part in prepared.named_modules() if name.startswith("qat.quantizers.")}
    if options.get("symmetric"):
        assert {int(part.zero_point) for part in quantizers.values() if hasattr(part, "zero_point")} == {0}
    weight = quantizers["qat.quantizers.linear_weight"]
    scales = weight.scales(prepared.fc.weight)
    assert len(scales) == (10 if options.get("per_channel", True) else 1)
    stored = weight(prepared.fc.weight) / scales.reshape(-1, 1)
    assert torch.allclose(stored, stored.round(), atol=1e-4)
    assert stored.abs().max().round() <= (7 if options.get("weight_bits") == 4 else 127)
    assert share_within_one_step(prepared, tmp_path / "out")[0] >= ENOUGH


def test_rule_keeps_a_convolution_with_its_batch_norm_float(tmp_path: Path) -> None:
    rules = tmp_path / "second.toml"
    rules.write_text(
        'schema_version = 1\n[[rules]]\nid = "second"\nreason = "A test."\nmatch = [{ kind = "scope", glob = "b2" }]\nprecision = "float32"\n'
    )
    share, ops = share_within_one_step(trained(Cnn(), rules=(rules,)), tmp_path / "out")
    assert share >= ENOUGH
    assert (ops["CONV_2D", "int8"], ops["CONV_2D", "float32"]) == (1, 1)


def test_other_batch_sizes_pass_after_an_example_of_one() -> None:
    prepared = qat.prepare(Vit(), (torch.zeros(1, 3, 16, 16),))
    assert prepared(batch(0, 5)[0]).shape == (5, 10)


def test_module_of_one_batch_size_says_so() -> None:
    class Fixed(nn.Module):  # type: ignore[misc, name-defined]  # torch is loaded by name
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 3)

        def forward(self, x: Any) -> Any:
            return self.fc(x.reshape(6, 4))

    with pytest.warns(UserWarning, match=r"batch size of its example inputs alone: x \[6, 2, 2\]"):
        qat.prepare(Fixed(), (torch.ones(6, 2, 2),))


def test_dropout_is_active_in_training_only() -> None:
    x = batch(0)[0]
    prepared = qat.prepare(Cnn(), (x,))
    qat.freeze(prepared)
    assert not torch.equal(prepared(x), prepared(x))
    prepared.eval()
    assert torch.equal(prepared(x), prepared(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight_bits": 9}, r"weight_bits: has to be 2 to 8. Received: 9"),
        ({"ranges": "entropy"}, r"ranges: has to be one of moving_average, learned. Received: 'entropy'"),
    ],
)
def test_unknown_schemes_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        qat.prepare(Cnn(), (batch(0)[0],), **options)


def test_module_without_integer_operators_is_refused() -> None:
    with pytest.raises(UsageError, match="No operator of the module becomes an integer one"):
        qat.prepare(nn.LayerNorm(4), (torch.zeros(2, 4),))


def test_what_is_no_prepared_module_is_refused() -> None:
    with pytest.raises(UsageError, match=r"takes what bridge.qat.prepare made. Received: Cnn"):
        qat.convert(Cnn(), (batch(0)[0],))
    with pytest.raises(UsageError, match=r"needs example inputs. Received: NoneType"):
        qat.prepare(Cnn())
    with pytest.raises(UsageError, match=r"knows no model of this kind. Received: str"):
        qat.prepare("net.pt")
