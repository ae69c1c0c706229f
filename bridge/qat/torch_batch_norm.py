"""BatchNorm in training: folded into the convolution in front of it while its statistics stay alive, or on its own.

Source: Krishnamoorthi 2018, Quantizing deep convolutional networks, section 3.2.2; torch.ao.nn.intrinsic.qat `_ConvBnNd._forward_approximate`.
"""

from typing import Any

import torch

from bridge.qat.torch_decisions import FOLDED
from bridge.qat.torch_operators import operator_name

FOLDING = frozenset({"conv1d", "conv2d"})
WEIGHT, BIAS = 1, 2  # positions in a convolution


class Factor(torch.nn.Module):  # type: ignore[misc]  # torch has no types here
    """What the convolution's output channels are multiplied with: gamma / sqrt(running variance + epsilon), [channels]."""

    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon

    def forward(self, gamma: Any, variance: Any) -> Any:
        """Both and the result: [channels]."""
        return gamma * torch.rsqrt(variance + self.epsilon)


def scaled(weight: Any, factor: Any) -> Any:
    """A weight with the channels of its axis 0 multiplied."""
    return weight * factor.reshape(-1, *[1] * (weight.dim() - 1))


class BatchNorm(torch.nn.Module):  # type: ignore[misc]  # torch has no types here
    """Normalises by the batch in training, by the running statistics in eval mode and once frozen. `live` is a part of the state.

    Args:
        momentum: of the running statistics.
        epsilon: added to the variance.
    """

    def __init__(self, momentum: float, epsilon: float) -> None:
        super().__init__()
        self.momentum, self.epsilon = momentum, epsilon
        self.register_buffer("live", torch.tensor(True))

    def forward(self, x: Any, gamma: Any, beta: Any, mean: Any, variance: Any) -> Any:
        """x: [N, C, ...]; all others: [C]. In training the running statistics change in place."""
        shape = (1, -1, *[1] * (x.dim() - 2))
        if self.training:
            mean, variance = self._statistics(x, mean, variance)
        result = (x - mean.reshape(shape)) * torch.rsqrt(variance + self.epsilon).reshape(shape)
        return result if gamma is None else result * gamma.reshape(shape) + beta.reshape(shape)

    def freeze(self) -> None:
        """The running statistics stay from now on."""
        self.live.fill_(False)

    def _statistics(self, x: Any, mean: Any, variance: Any) -> tuple[Any, Any]:
        dims = [axis for axis in range(x.dim()) if axis != 1]
        seen, spread = x.mean(dims), x.var(dims, unbiased=False)
        used = torch.where(self.live, seen, mean), torch.where(self.live, spread, variance)
        count = x.numel() // x.shape[1]
        with torch.no_grad():
            kept = torch.where(self.live, self.momentum, 0.0)
            mean.add_(kept * (seen - mean))
            variance.add_(kept * (spread * (count / max(count - 1, 1)) - variance))
        return used


class FoldedBatchNorm(torch.nn.Module):  # type: ignore[misc]  # torch has no types here
    """Behind a convolution whose weight holds the factor already: the bias of the folded convolution, and in training what the batch changes.

    Its output in eval mode, and in training once frozen, is that of the folded convolution.
    """

    def __init__(self, momentum: float, epsilon: float) -> None:
        super().__init__()
        self.norm = BatchNorm(momentum, epsilon)

    def forward(self, x: Any, factor: Any, bias: Any, gamma: Any, beta: Any, mean: Any, variance: Any) -> Any:
        """x: [N, C, ...] of the convolution without bias; bias may be None."""
        shape = (1, -1, *[1] * (x.dim() - 2))
        if not self.training:
            return x + self.folded_bias(factor, bias, beta, mean).reshape(shape)
        plain = x / torch.where(factor == 0, 1.0, factor).reshape(shape)  # a channel of nothing stays one
        plain = plain if bias is None else plain + bias.reshape(shape)
        return self.norm(plain, gamma, beta, mean, variance)

    @staticmethod
    def folded_bias(factor: Any, bias: Any, beta: Any, mean: Any) -> Any:
        """Of the convolution that computes the BatchNorm as well, [channels]."""
        return beta + ((0.0 if bias is None else bias) - mean) * factor


def fold_all(module: Any) -> None:
    """Puts every BatchNorm of a traced module into these forms; `scaled` weights are for a quantizer to round."""
    for node in list(module.graph.nodes):
        if operator_name(node) != "batch_norm":
            continue
        if _foldable(node):
            _fold(module, node)
        elif node.args[3] is not None and node.args[4] is not None:
            _keep(module, node)


def _foldable(node: Any) -> bool:
    conv = node.args[0]
    return operator_name(conv) in FOLDING and len(conv.users) == 1 and all(one is not None for one in node.args[1:5])


def _fold(module: Any, node: Any) -> None:
    conv, graph = node.args[0], module.graph
    gamma, beta, mean, variance = node.args[1:5]
    bias = conv.args[BIAS] if len(conv.args) > BIAS else None
    module.add_submodule(f"qat.folded.{node.name}.factor", Factor(node.args[7]))
    module.add_submodule(f"qat.folded.{node.name}.behind", FoldedBatchNorm(node.args[6], node.args[7]))
    with graph.inserting_before(conv):
        factor = graph.call_module(f"qat.folded.{node.name}.factor", (gamma, variance))
        weight = graph.call_function(scaled, (conv.args[WEIGHT], factor))
    conv.args = (conv.args[0], weight, None, *conv.args[BIAS + 1 :])
    with graph.inserting_after(conv):
        norm = graph.call_module(f"qat.folded.{node.name}.behind", (conv, factor, bias, gamma, beta, mean, variance))
    conv.meta[FOLDED] = node
    node.replace_all_uses_with(norm)
    graph.erase_node(node)


def _keep(module: Any, node: Any) -> None:
    module.add_submodule(f"qat.norms.{node.name}", BatchNorm(node.args[6], node.args[7]))
    with module.graph.inserting_before(node):
        norm = module.graph.call_module(f"qat.norms.{node.name}", tuple(node.args[:5]))
    norm.meta.update(node.meta)
    node.replace_all_uses_with(norm)
    module.graph.erase_node(node)
