"""Small nets, a task that they learn in seconds, and how a trained one is held to its file."""

from collections import Counter
from pathlib import Path
from typing import Any

import ai_edge_litert.interpreter as litert
import numpy as np
import torch
from torch import nn

from bridge import qat


class Cnn(nn.Module):  # type: ignore[misc]  # torch has no types here
    """Conv-BN-ReLU, dropout, a residual Conv-BN, mean, Linear."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.c1, self.b1 = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.drop = nn.Dropout(0.1)
        self.c2, self.b2 = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 10)

    def forward(self, x: Any) -> Any:
        x = self.drop(torch.relu(self.b1(self.c1(x))))
        x = torch.relu(x + self.b2(self.c2(x)))
        return self.fc(x.mean((2, 3)))


class Attention(nn.Module):  # type: ignore[misc]  # torch has no types here
    """Of 4 heads over [N, T, C], from one matrix of queries, keys and values."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.packed, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Any) -> Any:
        n, t, c = x.shape
        q, k, v = self.packed(x).reshape(n, t, 3, 4, c // 4).permute(2, 0, 3, 1, 4).unbind(0)
        weights = torch.softmax(q @ k.transpose(-1, -2) * (c // 4) ** -0.5, -1)
        return self.out((weights @ v).transpose(1, 2).reshape(n, t, c))


class FusedAttention(Attention):
    """The same by torch's own function."""

    def forward(self, x: Any) -> Any:
        n, t, c = x.shape
        q, k, v = self.packed(x).reshape(n, t, 3, 4, c // 4).permute(2, 0, 3, 1, 4).unbind(0)
        return self.out(nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, c))


class Block(nn.Module):  # type: ignore[misc]  # torch has no types here
    """Attention and a net of two layers, LayerNorm in front of each, sums around them."""

    def __init__(self, width: int, attention: type[nn.Module], activation: type[nn.Module]) -> None:
        super().__init__()
        self.n1, self.attention, self.n2 = nn.LayerNorm(width), attention(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), activation(), nn.Linear(2 * width, width))

    def forward(self, x: Any) -> Any:
        x = x + self.attention(self.n1(x))
        return x + self.mlp(self.n2(x))


class Vit(nn.Module):  # type: ignore[misc]  # torch has no types here
    """16 patches of a picture [N, 3, 16, 16], transformer blocks, 10 classes."""

    def __init__(self, attention: type[nn.Module] = Attention, activation: type[nn.Module] = nn.GELU, blocks: int = 1, width: int = 16) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patch = nn.Conv2d(3, width, 4, 4)
        self.place = nn.Parameter(torch.randn(1, 16, width) * 0.1)
        self.blocks = nn.Sequential(*[Block(width, attention, activation) for _ in range(blocks)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x: Any) -> Any:
        x = self.patch(x).flatten(2).transpose(1, 2) + self.place
        return self.head(self.norm(self.blocks(x)).mean(1))


class Patches(nn.Module):  # type: ignore[misc]  # torch has no types here
    """A layer over 16 patches of a picture [N, 3, 16, 16] of 16 channels, their mean, 10 classes."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patch, self.layer, self.head = nn.Conv2d(3, 16, 4, 4), layer, nn.Linear(16, 10)

    def forward(self, x: Any) -> Any:
        return self.head(self.layer(self.patch(x).flatten(2).transpose(1, 2)).mean(1))


def batch(seed: int, count: int = 64) -> tuple[Any, Any]:
    """Noisy pictures [N, 3, 16, 16] of 10 patterns, and which."""
    patterns = torch.randn(10, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(seed + 1)
    labels = torch.randint(0, 10, (count,), generator=generator)
    return patterns[labels] + 0.7 * torch.randn(count, 3, 16, 16, generator=generator), labels


def fit(net: Any, steps: int, rate: float = 3e-3) -> Any:
    """The net after training in place."""
    torch.manual_seed(0)
    optimizer = torch.optim.Adam([one for one in net.parameters() if one.requires_grad], rate)
    net.train()
    for step in range(steps):
        x, labels = batch(step)
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), labels).backward()
        optimizer.step()
    return net


def trained(net: Any, *, rules: tuple[str | Path, ...] = ("default",), float_steps: int = 40, steps: int = 8, **options: Any) -> Any:
    """A prepared net, trained in float, then with its rounding, in eval mode."""
    prepared = fit(qat.prepare(fit(net, float_steps), batch(-1)[:1], rules=rules, **options), steps, 1e-3)
    qat.freeze(prepared)
    return prepared.eval()


def share_within_one_step(prepared: Any, folder: Path, *, reference: bool = False) -> tuple[float, Counter[tuple[str, str]]]:
    """Of the output values of the int8 file, and its operators with the type that each writes, counted.

    One step is the smallest difference between two values that the module gives: its output is rounded.
    """
    x = batch(1000, 256)[0]
    result = qat.convert(prepared, (x,), output_dir=folder, force=True, threads=1, compare=False)
    resolver = litert.OpResolverType.BUILTIN_REF if reference else litert.OpResolverType.BUILTIN
    runner = litert.Interpreter(model_path=str(result.artifacts["static_wi8_ai8"]), num_threads=1, experimental_op_resolver_type=resolver)
    runner.allocate_tensors()
    entry, values = runner.get_input_details()[0], x.numpy()
    runner.set_tensor(entry["index"], values if tuple(entry["shape"]) == values.shape else values.transpose(0, 2, 3, 1))
    runner.invoke()
    received = runner.get_tensor(runner.get_output_details()[0]["index"])
    with torch.no_grad():
        expected = prepared(x).numpy()
    step = np.min(np.diff(np.unique(expected.astype(np.float64).round(6))))
    tensors = {one["index"]: np.dtype(one["dtype"]).name for one in runner.get_tensor_details()}
    ops = Counter((op["op_name"], tensors[op["outputs"][0]]) for op in runner._get_ops_details())
    return float(np.mean(np.abs(received - expected) <= 1.01 * step)), ops
