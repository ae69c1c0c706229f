"""Gives every model input a static shape."""

from collections.abc import Mapping

import onnx_ir as ir

from bridge.errors import InputError, UnsupportedModelError
from bridge.types import Diagnostic


def fix_input_shapes(model: ir.Model, input_shapes: Mapping[str, tuple[int, ...]]) -> tuple[Diagnostic, ...]:
    """Sets the user's shapes, and 1 for every dimension nobody knows.

    Args:
        model: changed in place; shapes recorded for other values are dropped, for they may belong to other input shapes.
        input_shapes: input name -> shape.

    Raises:
        InputError: a name or shape that does not fit the model.
        UnsupportedModelError: an input has no elements.
    """
    inputs = {str(value.name): value for value in model.graph.inputs}
    unknown = [name for name in input_shapes if name not in inputs]
    if unknown:
        raise InputError(
            f"The model has no input {', '.join(map(repr, unknown))}.",
            hint=f"Its inputs: {', '.join(f'{name} {_shown(value)}' for name, value in inputs.items())}.",
        )
    for name, shape in input_shapes.items():
        _check(name, inputs[name], shape)
        inputs[name].shape = ir.Shape(shape)
    guessed = [diagnostic for name, value in inputs.items() if (diagnostic := _fill(name, value)) is not None]
    for node in model.graph.all_nodes():
        for output in node.outputs:
            output.shape = None
    return tuple(guessed)


def _shown(value: ir.Value) -> str:
    return "of unknown rank" if value.shape is None else f"[{', '.join(str(size) for size in value.shape)}]"


def _check(name: str, value: ir.Value, shape: tuple[int, ...]) -> None:
    if any(size < 1 for size in shape):
        raise InputError(f"Input {name!r}: every size must be at least 1. Received: {list(shape)}.")
    if value.shape is None:
        return
    fits = len(shape) == len(value.shape) and all(
        not _is_fixed(own) or own == given for own, given in zip(value.shape, shape, strict=True)
    )  # fmt: skip
    if not fits:
        raise InputError(
            f"Input {name!r} has shape {_shown(value)} in the model, which {list(shape)} does not fit.",
            hint="Only symbolic sizes can be chosen; export the model again to change the others.",
        )


def _fill(name: str, value: ir.Value) -> Diagnostic | None:
    """Sizes of 1 where the model and the user leave them open; some exporters write -1 for an open size, or 0 for an open batch."""
    if value.shape is None:
        raise InputError(
            f"Input {name!r} has no shape in the model, not even a rank.", hint="Give one: --input NAME=1x3x224x224, or input_shapes={...}."
        )
    before = _shown(value)
    if any(size == 0 for size in value.shape[1:]):
        raise UnsupportedModelError(
            f"Input {name!r} is {before} in the model: a tensor without elements, which TFLite does not have.", causes=["empty-tensor"]
        )
    free = [axis for axis, size in enumerate(value.shape) if not _is_fixed(size)]
    if not free:
        return None
    value.shape = ir.Shape([1 if axis in free else size for axis, size in enumerate(value.shape)])
    return Diagnostic(
        code="free-dimension",
        severity="info" if free == [0] else "warning",  # a batch of one is what everybody expects, an image of 1 x 1 is not
        message=f"Input {name!r} is {before} in the model; it was fixed to {_shown(value)}.",
        hint="--input NAME=1x3x224x224 chooses other sizes.",
    )


def _is_fixed(size: int | ir.SymbolicDim) -> bool:
    return isinstance(size, int) and size > 0
