"""The modules that round in training as TFLite's int8 kernels do; gradients pass straight through, by torch's own fake quantization."""

from typing import Any

import torch

SMALLEST_RANGE = 1e-8
MOMENTUM = 0.01  # of the moving average, as torch.ao.quantization has it


class ActivationQuantizer(torch.nn.Module):  # type: ignore[misc]  # torch has no types here
    """int8 with zero point, per tensor; the range is a moving average of what passes in training.

    Args:
        fixed: scale and zero point that the kernel prescribes; nothing is observed then.
    """

    def __init__(self, fixed: tuple[float, int] | None = None, *, symmetric: bool = False) -> None:
        super().__init__()
        self.observing, self.symmetric = fixed is None, symmetric
        scale, point = fixed or (1.0, 0)
        self.register_buffer("scale", torch.tensor(scale))
        self.register_buffer("zero_point", torch.tensor(point, dtype=torch.int32))
        self.register_buffer("minimum", torch.tensor(0.0))
        self.register_buffer("maximum", torch.tensor(0.0))

    def forward(self, x: Any) -> Any:
        """The values after rounding, same shape."""
        if self.observing and self.training:
            self._observe(x.detach())
        return torch.fake_quantize_per_tensor_affine(x, self.scale, self.zero_point, -128, 127)

    def _observe(self, x: Any) -> None:
        low, high = torch.aminmax(x)
        low, high = low.clamp(max=0.0), high.clamp(min=0.0)
        first = self.maximum == self.minimum
        self.minimum.copy_(torch.where(first, low, self.minimum + MOMENTUM * (low - self.minimum)))
        self.maximum.copy_(torch.where(first, high, self.maximum + MOMENTUM * (high - self.maximum)))
        if self.symmetric:
            self.scale.copy_((torch.maximum(-self.minimum, self.maximum) / 127).clamp(min=SMALLEST_RANGE))
            return
        self.scale.copy_(((self.maximum - self.minimum) / 255).clamp(min=SMALLEST_RANGE))
        self.zero_point.copy_((-128 - self.minimum / self.scale).round().clamp(-128, 127).to(torch.int32))


class WeightQuantizer(torch.nn.Module):  # type: ignore[misc]  # torch has no types here
    """Symmetric int8 of -127..127 (or fewer bits), the scale from the weight as it is: per output channel, or one."""

    def __init__(self, *, per_channel: bool = True, bits: int = 8) -> None:
        super().__init__()
        self.per_channel, self.most = per_channel, 2 ** (bits - 1) - 1

    def scales(self, weight: Any) -> Any:
        """One per output channel, [channels]."""
        largest = weight.detach().abs().flatten(1).amax(1)
        largest = largest if self.per_channel else largest.amax().expand_as(largest)
        return (largest / self.most).clamp(min=SMALLEST_RANGE).contiguous()

    def forward(self, weight: Any) -> Any:
        """[channels, ...] -> the same shape."""
        scales = self.scales(weight)
        return torch.fake_quantize_per_channel_affine(weight, scales, torch.zeros_like(scales, dtype=torch.int32), 0, -self.most, self.most)
