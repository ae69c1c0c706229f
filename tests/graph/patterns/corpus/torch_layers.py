"""Normalisations and activations as code for torch spells them; the module called `target` is the pattern."""

from collections.abc import Callable, Mapping
from math import pi, sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

SIZE = 8


class Spelled(nn.Module):
    """A function of one tensor and of constants called `weight` and `bias`."""

    def __init__(self, function: Callable[..., Tensor], *shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.function = function
        self.constants = nn.ParameterList([nn.Parameter(0.5 + torch.rand(shape)) for shape in shapes])

    def forward(self, *given: Tensor) -> Tensor:
        return self.function(*given, *self.constants)


class Around(nn.Module):
    """Something before the pattern and something behind it."""

    def __init__(self, before: nn.Module, target: nn.Module, after: nn.Module) -> None:
        super().__init__()
        self.before, self.target, self.after = before, target, after

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.target(self.before(x)))


def tokens(target: nn.Module) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """[2, 5, 8] between two linear layers."""
    return Around(nn.Linear(SIZE, SIZE), target, nn.Linear(SIZE, 3)), (torch.randn(2, 5, SIZE),)


def picture(target: nn.Module) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """[1, 8, 6, 6] between two convolutions."""
    return Around(nn.Conv2d(3, SIZE, 1), target, nn.Conv2d(SIZE, 3, 1)), (torch.randn(1, 3, 6, 6),)


def rectified(target: nn.Module) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """The same with an activation before the pattern, so that no convolution can take it in."""
    return Around(nn.Sequential(nn.Conv2d(3, SIZE, 1), nn.ReLU()), target, nn.Sequential(nn.ReLU(), nn.Conv2d(SIZE, 3, 1))), (
        torch.randn(1, 3, 6, 6),
    )


def _tf_style_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """BERT's first code for torch."""
    u = x.mean(-1, keepdim=True)
    s = (x - u).pow(2).mean(-1, keepdim=True)
    return weight * ((x - u) / torch.sqrt(s + 1e-12)) + bias


def _var_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return (x - x.mean(-1, keepdim=True)) * torch.rsqrt(x.var(-1, unbiased=False, keepdim=True) + 1e-5) * weight + bias


def _annotated_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Divides by the standard deviation itself, as the annotated transformer does."""
    return weight * (x - x.mean(-1, keepdim=True)) / (x.std(-1, unbiased=False, keepdim=True) + 1e-6) + bias


def _moments_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    variance = (x * x).mean(-1, keepdim=True) - mean * mean
    return (x - mean) / (variance + 1e-5).sqrt() * weight + bias


def _channel_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """ConvNeXt's LayerNorm of [N, C, H, W] over the channels."""
    u = x.mean(1, keepdim=True)
    s = (x - u).pow(2).mean(1, keepdim=True)
    return weight[:, None, None] * ((x - u) / torch.sqrt(s + 1e-6)) + bias[:, None, None]


def _llama_norm(x: Tensor, weight: Tensor) -> Tensor:
    wide = x.to(torch.float32)
    return weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)).to(x.dtype)


def _square_norm(x: Tensor, weight: Tensor) -> Tensor:
    return x / torch.sqrt(torch.mean(x * x, dim=-1, keepdim=True) + 1e-6) * weight


def _scaled_length_norm(x: Tensor, weight: Tensor) -> Tensor:
    """lucidrains' RMSNorm."""
    return functional.normalize(x, dim=-1) * sqrt(SIZE) * weight


def _group_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    groups = x.reshape(1, 4, -1)
    mean, variance = groups.mean(-1, keepdim=True), groups.var(-1, unbiased=False, keepdim=True)
    whole = ((groups - mean) / torch.sqrt(variance + 1e-5)).reshape(x.shape)
    return whole * weight[None, :, None, None] + bias[None, :, None, None]


def _instance_norm(x: Tensor) -> Tensor:
    mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), unbiased=False, keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-5)


def _tanh_gelu(x: Tensor) -> Tensor:
    """GPT-2's."""
    return 0.5 * x * (1.0 + torch.tanh(sqrt(2.0 / pi) * (x + 0.044715 * torch.pow(x, 3.0))))


def _fast_gelu(x: Tensor) -> Tensor:
    """GPT-J's."""
    return 0.5 * x * (1.0 + torch.tanh(x * 0.7978845608 * (1.0 + 0.044715 * x * x)))


def _plain_softmax(x: Tensor) -> Tensor:
    raised = torch.exp(x - x.max(-1, keepdim=True).values)
    return raised / raised.sum(-1, keepdim=True)


def _plain_log_softmax(x: Tensor) -> Tensor:
    shifted = x - x.max(-1, keepdim=True).values
    return shifted - shifted.exp().sum(-1, keepdim=True).log()


NORMS: Mapping[str, Callable[[], tuple[nn.Module, tuple[Tensor, ...]]]] = {
    "layer_norm/module": lambda: tokens(nn.LayerNorm(SIZE)),
    "layer_norm/module_without_affine": lambda: tokens(nn.LayerNorm(SIZE, elementwise_affine=False)),
    "layer_norm/module_without_bias": lambda: tokens(nn.LayerNorm(SIZE, bias=False)),
    "layer_norm/module_two_axes": lambda: tokens(nn.LayerNorm((5, SIZE))),
    "layer_norm/bert": lambda: tokens(Spelled(_tf_style_norm, (SIZE,), (SIZE,))),
    "layer_norm/var": lambda: tokens(Spelled(_var_norm, (SIZE,), (SIZE,))),
    "layer_norm/annotated": lambda: tokens(Spelled(_annotated_norm, (SIZE,), (SIZE,))),
    "layer_norm/moments": lambda: tokens(Spelled(_moments_norm, (SIZE,), (SIZE,))),
    "layer_norm/channels_first": lambda: picture(Spelled(_channel_norm, (SIZE,), (SIZE,))),
    "layer_norm/channels_last": lambda: picture(
        Spelled(lambda x, *affine: functional.layer_norm(x.permute(0, 2, 3, 1), (SIZE,), *affine).permute(0, 3, 1, 2), (SIZE,), (SIZE,))
    ),
    "rms_norm/module": lambda: tokens(nn.RMSNorm(SIZE, eps=1e-6)),
    "rms_norm/llama": lambda: tokens(Spelled(_llama_norm, (SIZE,))),
    "rms_norm/square": lambda: tokens(Spelled(_square_norm, (SIZE,))),
    "rms_norm/scaled_length": lambda: tokens(Spelled(_scaled_length_norm, (SIZE,))),
    "group_norm/module": lambda: picture(nn.GroupNorm(4, SIZE)),
    "group_norm/module_without_affine": lambda: picture(nn.GroupNorm(4, SIZE, affine=False)),
    "group_norm/by_hand": lambda: picture(Spelled(_group_norm, (SIZE,), (SIZE,))),
    "instance_norm/module": lambda: picture(nn.InstanceNorm2d(SIZE)),
    "instance_norm/module_with_affine": lambda: picture(nn.InstanceNorm2d(SIZE, affine=True)),
    "instance_norm/by_hand": lambda: picture(Spelled(_instance_norm)),
    "batch_norm/alone": lambda: rectified(nn.BatchNorm2d(SIZE)),
    "batch_norm/of_features": lambda: (
        Around(nn.Sequential(nn.Linear(SIZE, SIZE), nn.ReLU()), nn.BatchNorm1d(SIZE), nn.Linear(SIZE, 3)),
        (torch.randn(2, SIZE),),
    ),
    "l2_norm/normalize": lambda: tokens(Spelled(lambda x: functional.normalize(x, dim=-1))),
    "l2_norm/norm": lambda: tokens(Spelled(lambda x: x / x.norm(dim=-1, keepdim=True))),
    "l2_norm/linalg": lambda: tokens(Spelled(lambda x: x / torch.linalg.vector_norm(x, dim=-1, keepdim=True))),
    "l2_norm/rsqrt": lambda: tokens(Spelled(lambda x: x * torch.rsqrt(x.pow(2).sum(-1, keepdim=True) + 1e-6))),
    "l2_norm/sqrt_of_sum": lambda: tokens(Spelled(lambda x: x / torch.sqrt((x * x).sum(-1, keepdim=True)))),
    "l2_norm/clamped": lambda: tokens(Spelled(lambda x: x / x.norm(dim=-1, keepdim=True).clamp(min=1e-6))),
    "l2_norm/channels": lambda: picture(Spelled(lambda x: functional.normalize(x, dim=1))),
}

ACTIVATIONS: Mapping[str, Callable[[], tuple[nn.Module, tuple[Tensor, ...]]]] = {
    "gelu/module": lambda: tokens(nn.GELU()),
    "gelu/module_tanh": lambda: tokens(nn.GELU(approximate="tanh")),
    "gelu/erf": lambda: tokens(Spelled(lambda x: x * 0.5 * (1.0 + torch.erf(x / sqrt(2.0))))),
    "gelu/erf_reciprocal": lambda: tokens(Spelled(lambda x: 0.5 * (x * (torch.erf(x * 0.70710678) + 1.0)))),
    "gelu/gpt2": lambda: tokens(Spelled(_tanh_gelu)),
    "gelu/gptj": lambda: tokens(Spelled(_fast_gelu)),
    "gelu/quick": lambda: tokens(Spelled(lambda x: x * torch.sigmoid(1.702 * x))),
    "silu/module": lambda: tokens(nn.SiLU()),
    "silu/by_hand": lambda: tokens(Spelled(lambda x: torch.sigmoid(x) * x)),
    "silu/beta": lambda: tokens(Spelled(lambda x: x * torch.sigmoid(1.5 * x))),
    "silu/exp": lambda: tokens(Spelled(lambda x: x / (1.0 + torch.exp(-x)))),
    "hard_swish/module": lambda: tokens(nn.Hardswish()),
    "hard_swish/relu6": lambda: tokens(Spelled(lambda x: x * functional.relu6(x + 3.0) / 6.0)),
    "hard_swish/hard_sigmoid": lambda: tokens(Spelled(lambda x: x * functional.hardsigmoid(x))),
    "hard_sigmoid/module": lambda: tokens(nn.Hardsigmoid()),
    "hard_sigmoid/relu6": lambda: tokens(Spelled(lambda x: functional.relu6(x + 3.0) / 6.0)),
    "hard_sigmoid/clamp": lambda: tokens(Spelled(lambda x: torch.clamp(0.2 * x + 0.5, 0.0, 1.0))),
    "mish/module": lambda: tokens(nn.Mish()),
    "mish/by_hand": lambda: tokens(Spelled(lambda x: x * torch.tanh(functional.softplus(x)))),
    "mish/log_exp": lambda: tokens(Spelled(lambda x: x * torch.tanh(torch.log(1.0 + torch.exp(x))))),
    "elu/module": lambda: tokens(nn.ELU()),
    "elu/alpha": lambda: tokens(nn.ELU(alpha=0.5)),
    "elu/where": lambda: tokens(Spelled(lambda x: torch.where(x > 0.0, x, torch.exp(x) - 1.0))),
    "elu/expm1": lambda: tokens(Spelled(lambda x: torch.where(x > 0.0, x, 0.5 * torch.expm1(x)))),
    "elu/halves": lambda: tokens(Spelled(lambda x: torch.relu(x) + torch.clamp(0.5 * (torch.exp(x) - 1.0), max=0.0))),
    "elu/safe": lambda: tokens(Spelled(lambda x: torch.relu(x) - functional.relu(1.0 - torch.exp(x)))),
    "selu/module": lambda: tokens(nn.SELU()),
    "selu/where": lambda: tokens(Spelled(lambda x: 1.0507009873554805 * torch.where(x > 0.0, x, 1.6732632423543772 * (torch.exp(x) - 1.0)))),
    "celu/module": lambda: tokens(nn.CELU(alpha=0.7)),
    "celu/halves": lambda: tokens(Spelled(lambda x: torch.clamp(x, min=0.0) + torch.clamp(0.7 * (torch.exp(x / 0.7) - 1.0), max=0.0))),
    "softmax/module": lambda: tokens(nn.Softmax(dim=-1)),
    "softmax/channels": lambda: picture(nn.Softmax(dim=1)),
    "softmax/by_hand": lambda: tokens(Spelled(_plain_softmax)),
    "softmax/without_maximum": lambda: tokens(Spelled(lambda x: torch.exp(x) / torch.exp(x).sum(-1, keepdim=True))),
    "softmax/of_log": lambda: tokens(Spelled(lambda x: torch.exp(functional.log_softmax(x, dim=-1)))),
    "log_softmax/module": lambda: tokens(nn.LogSoftmax(dim=-1)),
    "log_softmax/of_softmax": lambda: tokens(Spelled(lambda x: torch.log(functional.softmax(x, dim=-1)))),
    "log_softmax/logsumexp": lambda: tokens(Spelled(lambda x: x - torch.logsumexp(x, dim=-1, keepdim=True))),
    "log_softmax/by_hand": lambda: tokens(Spelled(_plain_log_softmax)),
}
