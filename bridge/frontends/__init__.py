"""Ways in: each frontend turns one kind of source into a `SourceModel`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bridge.errors import UsageError
from bridge.frontends import onnx_file
from bridge.types import SourceModel

__all__ = ["FRONTENDS", "Frontend", "load", "onnx_file"]


@dataclass(frozen=True, slots=True)
class Frontend:
    """One kind of source.

    Attributes:
        name: what it reads, for messages.
        accepts: whether it is responsible for a source; looks at its type, at most at the name of a file.
        load: the source as ONNX; `input_shapes` matter only where a model is traced.
    """

    name: str
    accepts: Callable[[object], bool]
    load: Callable[[object, Mapping[str, tuple[int, ...]]], SourceModel]


def _is_path(source: object) -> bool:
    return isinstance(source, str | Path)


def _load_onnx(source: object, input_shapes: Mapping[str, tuple[int, ...]]) -> SourceModel:
    return onnx_file.load(Path(str(source)))


def load(source: object, *, input_shapes: Mapping[str, tuple[int, ...]]) -> SourceModel:
    """Reads a source with the first frontend that accepts it.

    Raises:
        InputError: it cannot be read.
        UsageError: no frontend accepts it.
    """
    for frontend in FRONTENDS:
        if frontend.accepts(source):
            return frontend.load(source, input_shapes)
    raise UsageError(
        f"Nothing here reads a source of type {type(source).__module__}.{type(source).__qualname__}.",
        hint=f"Known: {', '.join(frontend.name for frontend in FRONTENDS)}.",
    )


FRONTENDS: tuple[Frontend, ...] = (Frontend("ONNX file", _is_path, _load_onnx),)
