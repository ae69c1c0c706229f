"""The TFLite side: files opened with the tensors to compare as outputs, and integers turned back into real numbers."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

from bridge.errors import ToolError
from bridge.tflite.interpreter import Interpreter
from bridge.tflite.run_file import RunFile
from bridge.types import Diagnostic

_HINT = "The file is damaged: its operators write another shape than it declares. Write it again with the tool that made it."


class Opened(Struct, frozen=True):
    """An interpreter that has run once, and what had to be done for that."""

    interpreter: Interpreter
    diagnostics: tuple[Diagnostic, ...] = ()


def open_exposed(content: bytes | RunFile, feeds: Mapping[str, np.ndarray], *, what: str, threads: int) -> Opened:
    """A file with shown tensors in the delegate, or on the builtin kernels if the delegate refuses it, which is said.

    Args:
        content: the file.
        feeds: one set of inputs that it is tried with: a delegate may refuse as late as that.
        what: names it in the diagnostic.
        threads: of one run.

    Raises:
        ToolError: the builtin kernels cannot run it either.
    """
    try:
        return Opened(_tried(Interpreter(content, threads=threads), feeds))
    except ToolError as error:
        refusal = error.message
    message = f"XNNPACK does not run {what} with all its tensors shown, so the layers are measured on the builtin kernels: {refusal}"
    opened = _tried(Interpreter(content, kernels="builtin", threads=threads), feeds)
    return Opened(opened, (Diagnostic("compared-without-delegate", "info", message),))


def _tried(interpreter: Interpreter, feeds: Mapping[str, np.ndarray]) -> Interpreter:
    interpreter.run_views(feeds)
    return interpreter


def in_user_layout(value: np.ndarray, permutation: Sequence[int], shape: Sequence[int]) -> np.ndarray:
    """A TFLite value in the axis order and the shape of its ONNX counterpart.

    Args:
        value: of the TFLite tensor.
        permutation: axes of the TFLite tensor in the order of the ONNX axes.
        shape: ONNX shape.
    """
    return value.transpose(permutation).reshape(shape)


def other_shape(tensor: str, received: Sequence[int], wanted: Sequence[int]) -> ToolError:
    """The error for a tensor that has another shape after a run than its file declares."""
    message = f"The TFLite file writes {tensor!r} in the shape {list(received)} when it runs, which does not hold the values of {list(wanted)}."
    return ToolError(message, hint=_HINT, causes=["tflite-fails"])


def in_layout(reference: np.ndarray, shape: Sequence[int], permutation: Sequence[int], *, tensor: str) -> np.ndarray:
    """An ONNX value in the axis order of its TFLite counterpart, contiguous.

    Args:
        reference: ONNX value.
        shape: of the TFLite tensor, after a run.
        permutation: axes of the TFLite tensor in the order of the ONNX axes.
        tensor: names it in the error.

    Raises:
        ToolError: the shape is another one than the file declares.
    """
    if len(shape) != len(permutation) or math.prod(shape) != reference.size:
        raise other_shape(tensor, shape, reference.shape)
    moved = reference.reshape([shape[axis] for axis in permutation])
    inverse = sorted(range(len(permutation)), key=permutation.__getitem__)  # np.argsort takes 40 us for that
    return np.ascontiguousarray(moved.transpose(inverse))
