from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")

from bridge.qat.torch_batch_norm import BatchNorm, Factor, FoldedBatchNorm, scaled  # noqa: E402  # needs torch
from bridge.qat.torch_quantizers import ActivationQuantizer, LearnedActivationQuantizer, LearnedWeightQuantizer, WeightQuantizer  # noqa: E402


def test_moving_average_by_hand_until_frozen() -> None:
    quantizer = ActivationQuantizer()
    quantizer.start(torch.tensor([-1.0, 3.0]))
    quantizer(torch.tensor([-2.0, 1.0]))
    assert quantizer.minimum.item() == pytest.approx(-1.01)
    assert quantizer.maximum.item() == pytest.approx(2.98)
    assert list(quantizer.form()) == pytest.approx([3.99 / 255, round(-128 + 1.01 / (3.99 / 255))])
    quantizer.freeze()
    quantizer(torch.tensor([-50.0, 50.0]))
    assert quantizer.maximum.item() == pytest.approx(2.98)


def test_first_learned_steps_are_those_of_the_paper() -> None:
    x = torch.tensor([-1.0, 2.0, -3.0, 4.0])
    symmetric = LearnedActivationQuantizer(symmetric=True)
    symmetric.start(x)
    assert list(symmetric.form()) == pytest.approx([2 * 2.5 / 127**0.5, 0])
    positive = LearnedActivationQuantizer()
    positive.start(x.abs())
    assert list(positive.form()) == pytest.approx([2 * 2.5 / 255**0.5, -128])
    weight = LearnedWeightQuantizer(most=7, axis=0, channels=2)
    weight.start(torch.stack([x, 2 * x]))
    assert np.allclose(weight.scales(x).numpy(), [5 / 7**0.5, 10 / 7**0.5])


def test_gradient_of_a_learned_step_is_that_of_the_paper() -> None:
    """Equation 3: -v/s + round(v/s) inside, the bound outside; times 1 / sqrt(n Qp)."""
    quantizer = LearnedWeightQuantizer(most=7, axis=None, channels=1)
    quantizer.step.data.fill_(0.5)
    weight = torch.tensor([0.6, -0.9, 10.0, -10.0, 0.2], requires_grad=True)
    quantizer(weight).sum().backward()
    expected = ((1 - 1.2) + (-2 + 1.8) + 7 - 7 + (0 - 0.4)) / (5 * 7) ** 0.5
    assert quantizer.step.grad.item() == pytest.approx(expected, rel=1e-5)
    assert weight.grad.tolist() == [1, 1, 0, 0, 1]


def test_gradient_of_a_learned_activation_step_counts_its_zero_point() -> None:
    quantizer = LearnedActivationQuantizer()
    quantizer.scale.data.fill_(0.5)
    quantizer.zero_point.fill_(-128)
    quantizer(torch.tensor([0.6, 1000.0, -3.0])).sum().backward()
    assert quantizer.scale.grad.item() == pytest.approx(((1 - 1.2) + 255 + 0) / (3 * 255) ** 0.5, rel=1e-5)
    quantizer.freeze()
    assert not quantizer.scale.requires_grad


@pytest.mark.parametrize("axis", [0, 1, None])
def test_weights_lie_on_the_grid_of_their_channel(axis: int | None) -> None:
    weight = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    channels = 1 if axis is None else weight.shape[axis]
    quantizer = WeightQuantizer(most=7, axis=axis, channels=channels)
    largest = weight.abs().max() if axis is None else weight.abs().amax(1 - axis, keepdim=True)
    step = largest / 7
    assert torch.allclose(quantizer(weight), (weight / step).round() * step, atol=1e-6)
    assert quantizer.scales(weight).shape == (channels,)


def _folded(training: bool) -> Any:
    generator = torch.Generator().manual_seed(0)
    x, weight, bias = (torch.randn(size, generator=generator) for size in ((8, 3, 5, 5), (4, 3, 3, 3), (4,)))
    norm = torch.nn.BatchNorm2d(4)
    norm.weight.data.uniform_(0.5, 2, generator=generator)
    norm.bias.data.normal_(generator=generator)
    norm.running_mean.normal_(generator=generator)
    norm.running_var.uniform_(0.5, 2, generator=generator)
    mean, variance = norm.running_mean.clone(), norm.running_var.clone()
    norm.train(training)
    expected = norm(torch.nn.functional.conv2d(x, weight, bias))
    ours = FoldedBatchNorm(norm.momentum, norm.eps).train(training)
    factor = Factor(norm.eps)(norm.weight, variance)
    conv = torch.nn.functional.conv2d(x, scaled(weight, factor))
    received = ours(conv, factor, bias, norm.weight, norm.bias, mean, variance)
    return expected, received, norm, ours, (mean, variance, conv, factor, bias)


@pytest.mark.parametrize("training", [True, False])
def test_folded_batch_norm_is_that_of_torch(training: bool) -> None:
    expected, received, norm, _, (mean, variance, *_) = _folded(training)
    assert torch.allclose(received, expected, atol=1e-5)
    assert torch.allclose(mean, norm.running_mean, atol=1e-6)
    assert torch.allclose(variance, norm.running_var, atol=1e-6)


def test_frozen_batch_norm_normalises_in_training_as_in_eval_mode() -> None:
    _, _, norm, ours, (mean, variance, conv, factor, bias) = _folded(True)
    ours.norm.freeze()
    kept = mean.clone()
    factor = Factor(norm.eps)(norm.weight, variance)
    values = (conv, factor, bias, norm.weight, norm.bias, mean, variance)
    in_training = ours(*values)
    assert torch.equal(mean, kept)
    assert torch.allclose(in_training, ours.eval()(*values), atol=1e-5)


def test_batch_norm_on_its_own_is_that_of_torch() -> None:
    x = torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    norm, ours = torch.nn.BatchNorm2d(3), BatchNorm(0.1, 1e-5)
    mean, variance = torch.zeros(3), torch.ones(3)
    assert torch.allclose(ours(x, norm.weight, norm.bias, mean, variance), norm(x), atol=1e-5)
    assert torch.allclose(variance, norm.running_var)
