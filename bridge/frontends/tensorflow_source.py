"""TensorFlow sources: a Keras 3 model, a `.keras` or `.h5` file, a SavedModel folder, a `tf.function`."""

import sys
from pathlib import Path

from bridge.errors import InputError, UsageError
from bridge.frontends.source_options import Frontend, SourceOptions
from bridge.types import SourceModel

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


def _load_keras(source: object, options: SourceOptions) -> SourceModel:
    return _exporter("a Keras model").from_keras(source, options)  # type: ignore[attr-defined,no-any-return]  # a module loaded late


def _load_function(source: object, options: SourceOptions) -> SourceModel:
    return _exporter("a tf.function").from_function(source, options)  # type: ignore[attr-defined,no-any-return]  # a module loaded late


def _load_keras_file(source: object, options: SourceOptions) -> SourceModel:
    path = Path(str(source))
    if not path.is_file():
        raise InputError(f"{path}: there is no such file.", hint="Check the path of the model.")
    return _exporter(str(path)).from_keras_file(path, options)  # type: ignore[attr-defined,no-any-return]  # a module loaded late


def _load_saved_model(source: object, options: SourceOptions) -> SourceModel:
    path = Path(str(source))
    return _exporter(str(path)).from_saved_model(path, options)  # type: ignore[attr-defined,no-any-return]  # a module loaded late


def _exporter(where: str) -> object:
    try:
        from bridge.frontends import tensorflow_export
    except ModuleNotFoundError as error:
        raise UsageError(f"{where}: reading it needs TensorFlow, Keras and tf2onnx.", hint="pip install 'tflite-bridge[tensorflow]'") from error
    return tensorflow_export


TENSORFLOW_FRONTENDS = (
    Frontend("Keras model", _is_keras, _load_keras),
    Frontend("tf.function", _is_function, _load_function),
    Frontend("Keras file (.keras, .h5)", _is_keras_file, _load_keras_file),
    Frontend("SavedModel folder", _is_saved_model, _load_saved_model),
)
