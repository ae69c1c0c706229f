"""TensorFlow sources: a Keras 3 model, a `.keras` or `.h5` file, a SavedModel folder, a `tf.function`."""

import functools
import sys
from pathlib import Path

from bridge.frontends.source_options import Frontend

KERAS_SUFFIXES = frozenset({".keras", ".h5", ".hdf5"})
SAVED_MODEL = "saved_model.pb"


def _is_keras(source: object) -> bool:
    """Whether it is a Keras model; without importing Keras, which whoever made one has loaded."""
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(source, keras.Model)


def _is_function(source: object) -> bool:
    return hasattr(source, "get_concrete_function") and type(source).__module__.startswith("tensorflow.")


def _is_keras_file(source: object) -> bool:
    return isinstance(source, str | Path) and Path(source).suffix in KERAS_SUFFIXES


def _is_saved_model(source: object) -> bool:
    return isinstance(source, str | Path) and (Path(source) / SAVED_MODEL).is_file()


_tensorflow_frontend = functools.partial(Frontend, needs="TensorFlow, Keras and tf2onnx", extra="tensorflow")
TENSORFLOW_FRONTENDS = (
    _tensorflow_frontend("Keras model", _is_keras, "bridge.frontends.tensorflow_export:from_keras"),
    _tensorflow_frontend("tf.function", _is_function, "bridge.frontends.tensorflow_export:from_function"),
    _tensorflow_frontend("Keras file (.keras, .h5)", _is_keras_file, "bridge.frontends.tensorflow_export:from_keras_file"),
    _tensorflow_frontend("SavedModel folder", _is_saved_model, "bridge.frontends.tensorflow_export:from_saved_model"),
)
