"""Runs onnx2tf inside its environment up to the SavedModel of its TensorFlow backend, and no further.

    python bench_quantizers_in_saved_model.py ARGUMENTS OF onnx2tf

The backend would go on to write float32, float16 and other TFLite files, three minutes for a MobileNetV2, which nobody here needs.
"""

import sys

import tensorflow as tf
from onnx2tf import main


class SavedModelWrittenError(BaseException):
    """Passes the handlers that onnx2tf has around its conversion."""


def stop(*_: object, **__: object) -> None:
    """Stands where the conversion to TFLite begins."""
    raise SavedModelWrittenError


if __name__ == "__main__":
    tf.lite.TFLiteConverter.from_keras_model = stop
    try:
        main()
    except SavedModelWrittenError:
        sys.exit(0)
