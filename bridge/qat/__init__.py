"""Quantization-aware training: fake quantization where the rule files make int8 of a model, by the framework of the model."""

from bridge.qat.handlers import Places, handler
from bridge.qat.training import convert, freeze, prepare

__all__ = ["Places", "convert", "freeze", "handler", "prepare"]
