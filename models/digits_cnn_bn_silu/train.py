"""Trains the CNN and exports it with TorchScript, the BatchNorms kept as nodes.

uv run --extra torch --with scikit-learn python models/digits_cnn_bn_silu/train.py
"""

import sys
from collections import OrderedDict
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))

import digits
import torch_training

HERE = Path(__file__).parent
SEED = 0


def conv_bn(inputs: int, outputs: int, size: int, *, stride: int = 1, groups: int = 1, silu: bool = True) -> nn.Sequential:
    """Conv without bias -> BatchNorm -> SiLU, padded so that stride 1 keeps the size; `groups` = channels makes it depthwise."""
    conv = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, groups=groups, bias=False)
    layers: list[tuple[str, nn.Module]] = [("conv", conv), ("bn", nn.BatchNorm2d(outputs))]
    if silu:
        layers.append(("act", nn.SiLU()))
    return nn.Sequential(OrderedDict(layers))


class InvertedResidual(nn.Module):
    """Expand 1x1, depthwise 3x3, project 1x1 without activation; the input is added when the shape stays."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1) -> None:
        super().__init__()
        hidden = 3 * inputs
        self.expand = conv_bn(inputs, hidden, 1)
        self.depthwise = conv_bn(hidden, hidden, 3, stride=stride, groups=hidden)
        self.project = conv_bn(hidden, outputs, 1, silu=False)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, inputs, height, width] -> [batch, outputs, height / stride, width / stride]."""
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class PreActivation(nn.Module):
    """x + conv(silu(bn(x))): the BatchNorm stands behind an addition and before an activation, so no convolution can take it up."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)
        self.act = nn.SiLU()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, channels, height, width] -> the same shape."""
        return x + self.conv(self.act(self.bn(x)))


class Cnn(nn.Module):
    """Image [batch, 1, digits.SIZE, digits.SIZE] -> logits [batch, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(1, 16, 3)
        self.down1 = InvertedResidual(16, 24, stride=2)
        self.stay1 = InvertedResidual(24, 24)
        self.down2 = InvertedResidual(24, 32, stride=2)
        self.stay2 = InvertedResidual(32, 32)
        self.mix = PreActivation(32)
        self.last = conv_bn(32, 64, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(64, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """[batch, 1, digits.SIZE, digits.SIZE], normalised -> [batch, 10]."""
        x = self.stay1(self.down1(self.stem(image)))
        x = self.last(self.mix(self.stay2(self.down2(x))))
        return self.head(self.pool(x).flatten(1))


def main() -> None:
    """Writes model.onnx, calibration.npz and evaluation.npz beside this file, and the model's row in README.md."""
    train, held_out = digits.load()
    torch.manual_seed(SEED)
    model = Cnn()
    torch_training.fit(model, train, epochs=40, learning_rate=1e-2)
    torch.onnx.export(
        model,
        (torch.zeros(1, 1, digits.SIZE, digits.SIZE),),
        HERE / "model.onnx",
        input_names=["image"],
        output_names=["logits"],
        dynamo=False,
        training=torch.onnx.TrainingMode.PRESERVE,  # eval mode as it stands; TrainingMode.EVAL would fold BatchNorm into Conv
        do_constant_folding=False,
    )
    digits.write_data(HERE, torch_training.prepare(train.images), torch_training.prepare(held_out.images), held_out.labels, seed=SEED)
    digits.record(HERE)


if __name__ == "__main__":
    main()
