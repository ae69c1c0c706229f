"""Trains the ViT, puts its weights into the same network with LayerNorm and GELU written by hand, and exports that with TorchScript.

The file must compute what digits_vit/model.onnx computes; only the spelling differs. So train both on one machine.

uv run --extra torch --with scikit-learn python models/digits_vit_handwritten/train.py
"""

import math
import sys
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))

import digits
import torch_training
import vit

HERE = Path(__file__).parent


class HandwrittenLayerNorm(nn.Module):
    """nn.LayerNorm over the last axis, spelled out; its parameters have the names of the original."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.eps = 1e-5
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., width] -> the same shape."""
        centred = x - x.mean(dim=-1, keepdim=True)
        variance = centred.pow(2).mean(dim=-1, keepdim=True)
        return centred / torch.sqrt(variance + self.eps) * self.weight + self.bias


class HandwrittenGelu(nn.Module):
    """nn.GELU, spelled out: 0.5 x (1 + erf(x / sqrt 2))."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Any shape -> the same shape."""
        return 0.5 * x * (1.0 + torch.erf(x / math.sqrt(2.0)))


def main() -> None:
    """Writes model.onnx, calibration.npz and evaluation.npz beside this file, and the model's row in README.md."""
    train, held_out = digits.load()
    model = vit.Vit(HandwrittenLayerNorm, HandwrittenGelu)
    model.load_state_dict(vit.trained(train).state_dict())
    model.eval()
    example = torch.zeros(1, 1, digits.SIZE, digits.SIZE)
    torch.onnx.export(model, (example,), HERE / "model.onnx", input_names=["image"], output_names=["logits"], dynamo=False)
    digits.write_data(HERE, torch_training.prepare(train.images), torch_training.prepare(held_out.images), held_out.labels, seed=vit.SEED)
    digits.record(HERE)


if __name__ == "__main__":
    main()
