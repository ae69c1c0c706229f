"""Opens a model: reads it, puts in what the user registered for its custom operators, and inlines its functions."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bridge import frontends, graph
from bridge.compare import OnnxRunner
from bridge.custom_ops import CustomCall, custom_calls, with_decompositions
from bridge.errors import UnsupportedModelError
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


def open_model(
    source: object,
    *,
    input_shapes: Mapping[str, tuple[int, ...]],
    example_inputs: tuple[object, ...] | Mapping[str, object] | None = None,
    signature: str | None = None,
) -> OpenedModel:
    """The model that every command works on; the arguments are those of `frontends.load`.

    Raises:
        InputError: it cannot be read.
        UsageError: no frontend accepts it, or a registered decomposition fails.
        UnsupportedModelError: its functions cannot be inlined, or its exporter has no ONNX for it.
    """
    loaded = frontends.load(source, input_shapes=input_shapes, example_inputs=example_inputs, signature=signature)
    calls = custom_calls(loaded.proto)
    return OpenedModel(graph.inline_local_functions(replace(loaded, proto=with_decompositions(loaded.proto))), calls)


def open_reference(model: SourceModel, *, threads: int, intermediates: bool = True) -> OnnxRunner:
    """The model in onnxruntime, in float32 where onnxruntime lacks a float64 kernel for it; held to the live model it was exported from.

    Raises:
        InputError: the model is malformed.
        UnsupportedModelError: onnxruntime has no kernel for one of its operators.
        ToolError: the export changed what the model computes.
    """
    try:
        runner = OnnxRunner(model.proto, threads=threads, intermediates=intermediates)
    except UnsupportedModelError:
        narrow = graph.narrowed(model.proto)
        if narrow is None:
            raise
        runner = OnnxRunner(narrow, threads=threads, intermediates=intermediates)
    if model.confirm is not None:
        model.confirm(runner.run)
    return runner
