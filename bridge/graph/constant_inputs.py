"""Makes constants of model inputs: those the user fixes, and those that decide shapes and that the declared shapes leave no choice for."""

from collections.abc import Mapping

import numpy as np
import onnx
from msgspec.structs import replace
from onnx import numpy_helper

from bridge.errors import InputError
from bridge.graph.declared_shapes import settled_inputs
from bridge.graph.ledger import translated
from bridge.types import Diagnostic, SourceModel

_SHOWN = 8


def fix_inputs(source: SourceModel, constants: Mapping[str, np.ndarray]) -> SourceModel:
    """The model without the inputs whose values are known; everything behind, the reference too, sees them as constants.

    Args:
        source: from a frontend; not changed.
        constants: values by input name, in the input's shape; cast to its type.

    Raises:
        InputError: a name or a shape that does not fit the model.
    """
    inputs = {value.name: value.type.tensor_type for value in source.proto.graph.input}
    for name, value in constants.items():
        _check(name, value, inputs)
    with translated("read"):
        settled = {name: value for name, value in settled_inputs(source.proto).items() if name not in constants}
    if not settled and not constants:
        return source
    proto = onnx.ModelProto()
    proto.CopyFrom(source.proto)
    for name, value in (settled | dict(constants)).items():
        index = next(index for index, entry in enumerate(proto.graph.input) if entry.name == name)
        kind = onnx.helper.tensor_dtype_to_np_dtype(inputs[name].elem_type)
        del proto.graph.input[index]
        proto.graph.initializer.append(numpy_helper.from_array(np.asarray(value).astype(kind), name))
    notes = tuple(_diagnostic(name, value) for name, value in settled.items())
    return replace(source, proto=proto, diagnostics=(*source.diagnostics, *notes))


def _check(name: str, value: np.ndarray, inputs: Mapping[str, onnx.TypeProto.Tensor]) -> None:
    if name not in inputs:
        raise InputError(f"The model has no input {name!r} to make a constant of.", hint=f"Its inputs: {', '.join(inputs)}.")
    sizes = inputs[name].shape.dim
    if len(sizes) != value.ndim or any(
        size.HasField("dim_value") and size.dim_value != given for size, given in zip(sizes, value.shape, strict=False)
    ):
        shown = [size.dim_value if size.HasField("dim_value") else size.dim_param or "?" for size in sizes]
        raise InputError(f"Input {name!r} has shape {shown} in the model, which a constant of shape {list(value.shape)} does not fit.")


def _diagnostic(name: str, value: np.ndarray) -> Diagnostic:
    if value.size == 0:
        return Diagnostic(
            "input-empty", "warning", f"Input {name!r} has no elements; TFLite has no such tensors, so the file does not have this input."
        )
    shown = f"{value.reshape(-1)[:_SHOWN].tolist()}{' ...' if value.size > _SHOWN else ''}"
    return Diagnostic(
        code="input-settled",
        severity="warning",
        message=f"Input {name!r} decides a shape, which TFLite fixes when the model is converted. It became the constant {shown}, the only value that gives the "
        "shapes that the model declares.",
        hint="The TFLite file does not have this input; --constant chooses another value.",
    )
