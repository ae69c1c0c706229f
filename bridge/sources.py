"""Opens a model: reads it, puts in what the user registered for its custom operators, and inlines its functions."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bridge import frontends, graph
from bridge.custom_ops import CustomCall, custom_calls, with_decompositions
from bridge.types import SourceModel


@dataclass(frozen=True, slots=True)
class OpenedModel:
    """A model that both onnxruntime and the graph stage understand, as far as that is possible.

    Attributes:
        model: without local functions.
        calls: the nodes of the user's file that have a registered operator.
    """

    model: SourceModel
    calls: tuple[CustomCall, ...]


def open_model(source: object, *, input_shapes: Mapping[str, tuple[int, ...]]) -> OpenedModel:
    """The model that every command works on.

    Raises:
        InputError: it cannot be read.
        UsageError: no frontend accepts it, or a registered decomposition fails.
        UnsupportedModelError: its functions cannot be inlined.
    """
    loaded = frontends.load(source, input_shapes=input_shapes)
    calls = custom_calls(loaded.proto)
    return OpenedModel(graph.inline_local_functions(replace(loaded, proto=with_decompositions(loaded.proto))), calls)
