"""What a source may need beside itself, and what a frontend is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from bridge.types import SourceModel


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What the user says about a source.

    Attributes:
        input_shapes: sizes for inputs whose shape the source leaves open, by input name.
        example_inputs: positional inputs (a tuple) or inputs by name that a PyTorch module is traced with.
        signature: name of the signature of a SavedModel; None where it has one.
    """

    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: MappingProxyType({}))
    example_inputs: tuple[object, ...] | Mapping[str, object] | None = None
    signature: str | None = None


@dataclass(frozen=True, slots=True)
class Frontend:
    """One kind of source.

    Attributes:
        name: what it reads, for messages.
        accepts: whether it is responsible for a source; looks at its type, its name, at most at the first bytes of a file.
        load: the source as ONNX.
    """

    name: str
    accepts: Callable[[object], bool]
    load: Callable[[object, SourceOptions], SourceModel]
