"""Whether a model fits into one file: protobuf and flatbuffers count bytes with 31 bits."""

from bridge.errors import UnsupportedModelError
from bridge.types import Diagnostic, Graph

LARGEST_BYTES = (1 << 31) - (1 << 24)  # of the weights: the rest of the file takes a few MB
NAMED = 3
_HINT = "Convert it in parts: --from TENSOR and --to TENSOR take the part between tensors."


def size_findings(graph: Graph) -> tuple[Diagnostic, ...]:
    """An error where the weights, float32 as in the file that is written first, do not fit."""
    constants = graph.model.graph.initializers
    sizes = {name: int(value.const_value.nbytes) for name, value in constants.items() if value.const_value is not None}
    total = sum(sizes.values())
    if total <= LARGEST_BYTES:
        return ()
    largest = sorted(sizes, key=lambda name: -sizes[name])[:NAMED]
    named = ", ".join(f"{graph.tensor_names.get(name, name)!r} ({sizes[name] / 1e6:.0f} MB)" for name in largest)
    message = f"The weights take {total / 1e9:.2f} GB in float32, and a TFLite file holds at most {LARGEST_BYTES / 1e9:.2f} GB. The largest: {named}."
    return (Diagnostic("large-model", "error", message, _HINT),)


def refuse_large(graph: Graph) -> None:
    """Stops before anything is written.

    Raises:
        UnsupportedModelError: the weights do not fit into one file.
    """
    found = size_findings(graph)
    if found:
        raise UnsupportedModelError(found[0].message, hint=found[0].hint, code=found[0].code, findings=found)
