"""Normalises an ONNX model for quantization: static shapes, float32, recognised patterns, names that survive."""
