"""Whether a model fits into one file: protobuf and flatbuffers count bytes with 31 bits."""

import math
from collections.abc import Mapping

import onnx

from bridge.errors import UnsupportedModelError
from bridge.types import Diagnostic, Graph

LARGEST_BYTES = (1 << 31) - (1 << 24)  # of the weights: the rest of the file takes a few MB
NAMED = 3
FLOAT32_BYTES = 4
_HINT = "Convert it in parts: --from TENSOR and --to TENSOR take the part between tensors."


def size_findings(graph: Graph) -> tuple[Diagnostic, ...]:
    """An error where the weights, float32 as in the file that is written first, do not fit."""
    constants = graph.model.graph.initializers
    return _findings(
        {graph.tensor_names.get(name, name): int(value.const_value.nbytes) for name, value in constants.items() if value.const_value is not None}
    )


def refuse_large(graph: Graph) -> None:
    """Stops before anything is written.

    Raises:
        UnsupportedModelError: the weights do not fit into one file.
    """
    _refuse(size_findings(graph))


def refuse_large_file(model: onnx.ModelProto) -> None:
    """Stops before the weights are read; a model that passes may still be too large.

    Only weights count that lead to an output and stand beside a value that is computed: of the others folding may leave less.

    Args:
        model: all of it is to be converted; of the weights the shapes are enough.

    Raises:
        UnsupportedModelError: the weights do not fit into one file.
    """
    sizes = {
        tensor.name: math.prod(tensor.dims) * FLOAT32_BYTES
        for tensor in model.graph.initializer
        if tensor.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
    }
    constants = {tensor.name for tensor in model.graph.initializer}
    needed, counted = {value.name for value in model.graph.output}, set[str]()
    for node in reversed(model.graph.node):
        if needed.isdisjoint(node.output):
            continue
        needed.update(node.input)
        if any(name and name not in constants for name in node.input):
            counted.update(node.input)
    _refuse(_findings({name: size for name, size in sizes.items() if name in counted}))


def _refuse(found: tuple[Diagnostic, ...]) -> None:
    if found:
        raise UnsupportedModelError(found[0].message, hint=found[0].hint, code=found[0].code, findings=found)


def _findings(sizes: Mapping[str, int]) -> tuple[Diagnostic, ...]:
    """By the bytes of each weight."""
    total = sum(sizes.values())
    if total <= LARGEST_BYTES:
        return ()
    largest = sorted(sizes, key=lambda name: -sizes[name])[:NAMED]
    named = ", ".join(f"{name!r} ({sizes[name] / 1e6:.0f} MB)" for name in largest)
    message = f"The weights take {total / 1e9:.2f} GB in float32, and a TFLite file holds at most {LARGEST_BYTES / 1e9:.2f} GB. The largest: {named}."
    return (Diagnostic("large-model", "error", message, _HINT),)
