"""Turns the normalised graph into a float TFLite file and proves, tensor by tensor, that it computes the same."""

from bridge.convert.adopt import adopt
from bridge.convert.convert import INPUT_LAYOUTS, InputLayout, to_float_tflite

__all__ = ["INPUT_LAYOUTS", "InputLayout", "adopt", "to_float_tflite"]
