"""What a source may need beside itself, and what a frontend is."""

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from msgspec import Struct, field

from bridge.errors import UsageError
from bridge.types import SourceModel


class SourceOptions(Struct, frozen=True):
    """What the user says about a source.

    Attributes:
        input_shapes: sizes for inputs whose shape the source leaves open, by input name.
        example_inputs: positional inputs (a tuple) or inputs by name that a PyTorch module is traced with.
        signature: name of the signature of a SavedModel; None where it has one.
    """

    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: MappingProxyType({}))
    example_inputs: tuple[object, ...] | Mapping[str, object] | None = None
    signature: str | None = None


class Frontend(Struct, frozen=True):
    """One kind of source.

    Attributes:
        name: what it reads, for messages.
        accepts: whether it is responsible for a source; looks at its type or its name, at most at whether a file is there.
        reader: `module:function` of the source and its options; imported when it is needed, for it may import a framework.
        needs: packages that it imports and the core does not have.
        extra: of this project, which brings them.
    """

    name: str
    accepts: Callable[[object], bool]
    reader: str
    needs: str = ""
    extra: str = ""

    def load(self, source: object, options: SourceOptions) -> SourceModel:
        """The source as ONNX.

        Raises:
            UsageError: its packages are not installed.
        """
        module, _, function = self.reader.partition(":")
        try:
            home = importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise UsageError(
                f"{label(source)}: reading it needs {self.needs}.", hint=f"pip install 'tflite-bridge[{self.extra}]'", code="missing-package"
            ) from error
        result: SourceModel = getattr(home, function)(source, options)
        return result


def label(source: object) -> str:
    """What messages and reports call a source: its path, or the class of a live model."""
    return str(source) if isinstance(source, str | Path) else f"{type(source).__module__}.{type(source).__qualname__}"
