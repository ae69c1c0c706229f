"""The TFLite side: files opened with the tensors to compare as outputs, and integers turned back into real numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bridge.errors import ToolError
from bridge.tflite.interpreter import Interpreter
from bridge.types import Diagnostic


@dataclass(frozen=True, slots=True)
class Opened:
    """An interpreter that has run once, and what had to be done for that."""

    interpreter: Interpreter
    diagnostics: tuple[Diagnostic, ...] = ()


def open_exposed(content: bytes, feeds: Mapping[str, np.ndarray], *, what: str, threads: int) -> Opened:
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


def in_layout(reference: np.ndarray, shape: Sequence[int], permutation: Sequence[int]) -> np.ndarray:
    """An ONNX value in the axis order of its TFLite counterpart, contiguous.

    Args:
        reference: ONNX value.
        shape: of the TFLite tensor.
        permutation: axes of the TFLite tensor in the order of the ONNX axes.
    """
    moved = reference.reshape([shape[axis] for axis in permutation])
    inverse = sorted(range(len(permutation)), key=permutation.__getitem__)  # np.argsort takes 40 us for that
    return np.ascontiguousarray(moved.transpose(inverse))
