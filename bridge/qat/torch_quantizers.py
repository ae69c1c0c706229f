"""The modules that round in training as TFLite's int8 kernels do."""

from typing import Any

import torch

SMALLEST_STEP = 1e-8
MOMENTUM = 0.01  # of the moving average, as torch.ao.quantization has it
LOW, HIGH = -128, 127  # of activations


class ActivationQuantizer(torch.nn.Module):  # type: ignore[misc]  # torch has no types here
    """int8, per tensor; the range is a moving average of what passes in training.

    All that it knows is in its state: scale, zero point, the range, and whether it still observes.

    Args:
        fixed: scale and zero point that the kernel prescribes; nothing is observed then.
        symmetric: zero point 0.
    """

    def __init__(self, *, fixed: tuple[float, int] | None = None, symmetric: bool = False) -> None:
        super().__init__()
        self.fixed, self.symmetric = fixed is not None, symmetric
        scale, point = fixed or (1.0, 0)
        self._hold_scale(torch.tensor(scale))
        self.register_buffer("zero_point", torch.tensor(point, dtype=torch.int32))
        self.register_buffer("minimum", torch.tensor(0.0))
        self.register_buffer("maximum", torch.tensor(0.0))
        self.register_buffer("observing", torch.tensor(not self.fixed))

    def start(self, x: Any) -> None:
        """Takes the first range from x."""
        if self.fixed:
            return
        low, high = _extent(x)
        self.minimum.copy_(low)
        self.maximum.copy_(high)
        self._set_scale()

    def forward(self, x: Any) -> Any:
        """The values after rounding, same shape."""
        if self.training and not self.fixed:
            low, high = _extent(x.detach())
            self.minimum.copy_(torch.where(self.observing, self.minimum + MOMENTUM * (low - self.minimum), self.minimum))
            self.maximum.copy_(torch.where(self.observing, self.maximum + MOMENTUM * (high - self.maximum), self.maximum))
            self._set_scale()
        return torch.fake_quantize_per_tensor_affine(x, self.scale, self.zero_point, LOW, HIGH)

    def freeze(self) -> None:
        """Keeps the range from now on."""
        self.observing.fill_(False)

    def form(self) -> tuple[float, int]:
        """Scale and zero point as they are now."""
        return float(self.scale.detach().clamp(min=SMALLEST_STEP)), int(self.zero_point)

    def _hold_scale(self, scale: Any) -> None:
        self.register_buffer("scale", scale)

    def _set_scale(self) -> None:
        if self.symmetric:
            self.scale.copy_((torch.maximum(-self.minimum, self.maximum) / HIGH).clamp(min=SMALLEST_STEP))
            return
        self.scale.copy_(((self.maximum - self.minimum) / (HIGH - LOW)).clamp(min=SMALLEST_STEP))
        self.zero_point.copy_((LOW - self.minimum / self.scale).round().clamp(LOW, HIGH).to(torch.int32))


class LearnedActivationQuantizer(ActivationQuantizer):
    """int8, per tensor; the step is trained, the zero point is where the first values put it.

    Source: Esser et al., Learned Step Size Quantization, ICLR 2020.
    """

    def start(self, x: Any) -> None:
        """The first step, 2 * mean |x| / sqrt(Qp)."""
        if self.fixed:
            return
        low, high = _extent(x)
        point = torch.zeros_like(low) if self.symmetric else (LOW + (HIGH - LOW) * -low / (high - low).clamp(min=SMALLEST_STEP)).round()
        self.zero_point.copy_(point.to(torch.int32))
        self.scale.data.copy_((2 * x.abs().mean() / (HIGH - point).clamp(min=1).sqrt()).clamp(min=SMALLEST_STEP))

    def forward(self, x: Any) -> Any:
        """The values after rounding, same shape."""
        if self.fixed:
            return torch.fake_quantize_per_tensor_affine(x, self.scale, self.zero_point, LOW, HIGH)
        low, high = LOW - self.zero_point, HIGH - self.zero_point
        step = torch.where(self.observing, self.scale, self.scale.detach())  # a buffer, so that a checkpoint stays frozen
        return learned_rounding(x, step, low, high, 1 / torch.sqrt(x.numel() * high.clamp(min=1)))

    def freeze(self) -> None:
        """Keeps the step from now on."""
        self.observing.fill_(False)
        self.scale.requires_grad_(False)

    def _hold_scale(self, scale: Any) -> None:
        self.scale = torch.nn.Parameter(scale, requires_grad=not self.fixed)


class WeightQuantizer(torch.nn.Module):  # type: ignore[misc]  # torch has no types here
    """Symmetric, the scale from the weight as it is.

    Args:
        most: the largest stored value, 127 for 8 bits; the smallest is its negative.
        axis: of the output channels, which have a scale each; None for one scale.
        channels: number of scales.
    """

    def __init__(self, *, most: int, axis: int | None, channels: int) -> None:
        super().__init__()
        self.most, self.axis, self.channels = most, axis, channels

    def start(self, weight: Any) -> None:
        """Nothing to take from it."""

    def scales(self, weight: Any) -> Any:
        """[channels], or [1]."""
        largest = _per_channel(weight.detach().abs(), self.axis).amax(1)
        return (largest / self.most).clamp(min=SMALLEST_STEP)

    def forward(self, weight: Any) -> Any:
        """The weight after rounding, same shape."""
        scales = self.scales(weight)
        if self.axis is None:
            return torch.fake_quantize_per_tensor_affine(weight, scales[0], torch.zeros_like(scales[0], dtype=torch.int32), -self.most, self.most)
        points = torch.zeros_like(scales, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weight, scales, points, self.axis % weight.dim(), -self.most, self.most)

    def freeze(self) -> None:
        """The weights decide."""


class LearnedWeightQuantizer(WeightQuantizer):
    """Symmetric, the steps are trained. Source: Esser et al., Learned Step Size Quantization, ICLR 2020."""

    def __init__(self, *, most: int, axis: int | None, channels: int) -> None:
        super().__init__(most=most, axis=axis, channels=channels)
        self.step = torch.nn.Parameter(torch.ones(channels))
        self.register_buffer("learning", torch.tensor(True))

    def start(self, weight: Any) -> None:
        """The first steps, 2 * mean |w| / sqrt(Qp)."""
        mean = _per_channel(weight.detach().abs(), self.axis).mean(1)
        self.step.data.copy_((2 * mean / self.most**0.5).clamp(min=SMALLEST_STEP))

    def scales(self, weight: Any) -> Any:
        """[channels], or [1]."""
        return self.step.detach().clamp(min=SMALLEST_STEP)

    def forward(self, weight: Any) -> Any:
        """The weight after rounding, same shape."""
        shape = [1] * weight.dim()
        if self.axis is not None:
            shape[self.axis] = -1
        step = torch.where(self.learning, self.step, self.step.detach()).reshape(shape)
        return learned_rounding(weight, step, -self.most, self.most, (weight.numel() / self.channels * self.most) ** -0.5)

    def freeze(self) -> None:
        """Keeps the steps from now on."""
        self.learning.fill_(False)
        self.step.requires_grad_(False)


QUANTIZERS = (ActivationQuantizer, WeightQuantizer)


def learned_rounding(x: Any, step: Any, low: Any, high: Any, gradient_scale: Any) -> Any:
    """round(clip(x / step, low, high)) * step, with the gradient of the step scaled; rounding has the gradient 1.

    Source: Esser et al. 2020, equations 1 to 3 and section 2.2; n is the number of values that share the step.
    """
    step = step.clamp(min=SMALLEST_STEP)
    scaled = step * gradient_scale
    step = scaled + (step - scaled).detach()
    stored = torch.clamp(x / step, low, high)
    return (stored + (stored.round() - stored).detach()) * step


def _extent(x: Any) -> tuple[Any, Any]:
    low, high = torch.aminmax(x)
    return low.clamp(max=0.0), high.clamp(min=0.0)


def _per_channel(weight: Any, axis: int | None) -> Any:
    """As [channels, all others]."""
    return weight.reshape(1, -1) if axis is None else weight.movedim(axis, 0).flatten(1)
