"""PyTorch, TensorFlow and ONNX models as int8 TFLite: rule files keep layers float, every layer is compared."""
