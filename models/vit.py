"""A small vision transformer, pre-norm, whose LayerNorm and GELU the caller chooses."""

from collections.abc import Callable

import digits
import torch
import torch_training
from torch import nn

SEED = 0
WIDTH = 48
HEADS = 4
PATCH = 4
DEPTH = 3

Norm = Callable[[int], nn.Module]
Activation = Callable[[], nn.Module]


class Attention(nn.Module):
    """Multi-head self attention over [batch, tokens, WIDTH]."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.projection = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, tokens, WIDTH] -> the same shape."""
        batch, tokens, _ = x.shape
        query, key, value = (part.reshape(batch, tokens, HEADS, WIDTH // HEADS).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1))
        scores = query @ key.transpose(-2, -1) * (WIDTH // HEADS) ** -0.5
        mixed = torch.softmax(scores, dim=-1) @ value
        return self.projection(mixed.transpose(1, 2).reshape(batch, tokens, WIDTH))


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, norm: Norm, activation: Activation) -> None:
        super().__init__()
        self.norm1 = norm(WIDTH)
        self.attention = Attention()
        self.norm2 = norm(WIDTH)
        self.expand = nn.Linear(WIDTH, 2 * WIDTH)
        self.activation = activation()
        self.reduce = nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, tokens, WIDTH] -> the same shape."""
        x = x + self.attention(self.norm1(x))
        return x + self.reduce(self.activation(self.expand(self.norm2(x))))


class Vit(nn.Module):
    """Image [batch, 1, digits.SIZE, digits.SIZE] -> logits [batch, 10]; the class token is token 0."""

    def __init__(self, norm: Norm, activation: Activation) -> None:
        super().__init__()
        tokens = (digits.SIZE // PATCH) ** 2 + 1
        self.patches = nn.Conv2d(1, WIDTH, PATCH, stride=PATCH)
        self.class_token = nn.Parameter(torch.randn(1, 1, WIDTH) * 0.02)
        self.position = nn.Parameter(torch.randn(1, tokens, WIDTH) * 0.02)
        self.blocks = nn.ModuleList(Block(norm, activation) for _ in range(DEPTH))
        self.norm = norm(WIDTH)
        self.head = nn.Linear(WIDTH, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """[batch, 1, digits.SIZE, digits.SIZE], normalised -> [batch, 10]."""
        x = self.patches(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(len(x), -1, -1), x], dim=1) + self.position
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


def trained(train: digits.Split) -> Vit:
    """The network with torch's own LayerNorm and GELU, trained; the same weights at every call."""
    torch.manual_seed(SEED)
    model = Vit(nn.LayerNorm, nn.GELU)
    torch_training.fit(model, train, epochs=100, learning_rate=3e-3)
    return model
