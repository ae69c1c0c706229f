"""Ways in: each frontend turns one kind of source into a `SourceModel`."""

from collections.abc import Mapping
from pathlib import Path

import onnx

from bridge.errors import UsageError
from bridge.frontends import onnx_file
from bridge.frontends.source_options import Frontend, SourceOptions, label
from bridge.frontends.structure import refuse_nan
from bridge.frontends.tensorflow_source import KERAS_SUFFIXES, TENSORFLOW_FRONTENDS
from bridge.frontends.torch_source import PROGRAM_SUFFIX, SCRIPT_SUFFIXES, TORCH_FRONTENDS
from bridge.types import SourceModel

__all__ = ["FRONTENDS", "Frontend", "SourceOptions", "files", "label", "load", "onnx_file", "stem", "without_data"]

TFLITE_SUFFIX = ".tflite"
SUFFIXES = frozenset({".onnx", TFLITE_SUFFIX, PROGRAM_SUFFIX, *SCRIPT_SUFFIXES, *KERAS_SUFFIXES})


def load(
    source: object,
    *,
    input_shapes: Mapping[str, tuple[int, ...]],
    example_inputs: tuple[object, ...] | Mapping[str, object] | None = None,
    signature: str | None = None,
) -> SourceModel:
    """Reads a source with the first frontend that accepts it.

    Args:
        source: a path or a live model.
        input_shapes: sizes for inputs whose shape the source leaves open, by name.
        example_inputs: what a PyTorch module, a subclassed Keras model or a tf.function is traced with.
        signature: which signature of a SavedModel.

    Raises:
        InputError: it cannot be read.
        UsageError: no frontend accepts it, or its package is not installed.
        UnsupportedModelError: its exporter has no ONNX for it.
    """
    for frontend in FRONTENDS:
        if frontend.accepts(source):
            loaded = frontend.load(source, SourceOptions(input_shapes, example_inputs, signature))
            refuse_nan(loaded.proto, where=label(source))
            return loaded
    raise UsageError(
        f"Nothing here reads a source of type {label(source)}.",
        hint=f"Known: {', '.join(frontend.name for frontend in FRONTENDS)}.",
        code="unknown-source",
    )


def without_data(source: object) -> onnx.ModelProto | None:
    """The model of an ONNX file whose weights lie in other files, which takes no time; None for every other source.

    Raises:
        InputError: the file cannot be read, or is no ONNX model.
    """
    found = next((frontend for frontend in FRONTENDS if frontend.accepts(source)), None)
    return onnx_file.without_data(Path(str(source))) if found is ONNX_FILE else None


def stem(source: object) -> str:
    """What the files made of a source are named after: its file, or the name or class of a live model."""
    if isinstance(source, str | Path):
        path = Path(source)
        return path.stem if path.suffix in SUFFIXES else path.name
    return str(getattr(source, "name", None) or getattr(source, "__name__", None) or type(source).__name__)


def files(path: Path) -> tuple[Path, ...]:
    """The files that a model file consists of: itself, and the external data of an ONNX model."""
    return (path,) if path.suffix in SUFFIXES - {".onnx"} else onnx_file.files(path)


def _is_path(source: object) -> bool:
    return isinstance(source, str | Path)


def _is_tflite(source: object) -> bool:
    return _is_path(source) and Path(str(source)).suffix == TFLITE_SUFFIX


ONNX_FILE = Frontend("ONNX file", _is_path, "bridge.frontends.onnx_file:from_file")

# The first that accepts a source reads it; a path that looks like nothing else is taken for ONNX.
FRONTENDS: tuple[Frontend, ...] = (
    *TORCH_FRONTENDS,
    *TENSORFLOW_FRONTENDS,
    Frontend("float TFLite file", _is_tflite, "bridge.frontends.tflite_file:from_tflite_file"),
    ONNX_FILE,
)
