"""Turns the normalised graph into a float TFLite file and proves, tensor by tensor, that it computes the same."""

from bridge.convert.adopt import adopt, own_map
from bridge.convert.convert import INPUT_LAYOUTS, InputLayout, to_float_tflite
from bridge.convert.onnx2tf_process import Onnx2tfOptions, Via, check_backend

__all__ = ["INPUT_LAYOUTS", "InputLayout", "Onnx2tfOptions", "Via", "adopt", "check_backend", "own_map", "to_float_tflite"]
