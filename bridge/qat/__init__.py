"""Quantization-aware training for PyTorch: fake quantization where the rule files make int8 of it. Needs the extra `torch`."""

from bridge.qat.fake_quantize import ActivationQuantizer, WeightQuantizer
from bridge.qat.prepare import convert, freeze, prepare

__all__ = ["ActivationQuantizer", "WeightQuantizer", "convert", "freeze", "prepare"]
