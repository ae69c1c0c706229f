"""Files that somebody else wrote: checked, then run once in a process of its own, where LiteRT may crash without taking ours along.

LiteRT trusts what it loads. Kernels index with what the file says, so a damaged file that passes every check can still end the process.
"""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bridge import own_process
from bridge.errors import InputError, ToolError
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter, Kernels
from bridge.tflite.validity import check
from bridge.types import TensorSpec

FAST: tuple[Kernels, ...] = ("optimized", "builtin")
TIMEOUT_S = 120.0  # of one run with each kind of kernels; nobody can tell an endless loop from a slow model
_HINT = "Do not use this file: an app that loads it ends the same way. Write it again with the tool that made it."


def open_file(path: Path) -> tflite.ModelT:
    """A file that has been checked and has run once.

    Raises:
        InputError: it cannot be read, or is damaged.
        ToolError: LiteRT crashes on it, or does not come to an end.
    """
    with tried(path) as model:
        return model


@contextlib.contextmanager
def tried(*paths: Path) -> Iterator[tflite.ModelT]:
    """The first file as read, all of them checked; their runs go on while the block does, and have ended well when it ends.

    Raises:
        InputError: one cannot be read, or is damaged.
        ToolError: LiteRT crashes on one, or does not come to an end.
    """
    models = [_checked(path) for path in paths]
    children = [_start(path) for path in paths]
    try:
        yield models[0]
        for path, child in zip(paths, children, strict=True):
            _refuse(path, _end(child))
    finally:
        for child in children:
            child.kill()
            child.wait()


def _checked(path: Path) -> tflite.ModelT:
    model = tflite.read(path)
    check(model, where=str(path))
    return model


def _start(path: Path) -> "subprocess.Popen[bytes]":
    return own_process.started(__name__, str(path))


def _end(child: "subprocess.Popen[bytes]") -> int | None:
    """The exit code, None where the time was up."""
    try:
        return child.wait(TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return None


def _refuse(path: Path, code: int | None) -> None:
    if code is None:
        raise ToolError(f"{path}: LiteRT did not end within {TIMEOUT_S:g} s on random inputs.", hint=_HINT, causes=["tflite-fails"])
    if code < 0:
        raise ToolError(f"{path}: LiteRT crashes on it ({signal.Signals(-code).name}).", hint=_HINT, causes=["tflite-fails"])
    if code:
        raise InputError(f"{path}: LiteRT cannot be tried on it: the process ended with exit code {code}.", hint=_HINT)


def run(path: Path) -> None:
    """Loads the file with every kind of kernels and runs the fast ones; what LiteRT refuses with a message is left to whoever opens it next."""
    for kernels in FAST:
        with contextlib.suppress(ToolError):
            interpreter = Interpreter(path, kernels=kernels)
            interpreter.run({spec.name: _values(spec) for spec in interpreter.inputs})
    with contextlib.suppress(ToolError):
        Interpreter(path, kernels="reference")  # not run: that takes minutes on a large model


def _values(spec: TensorSpec) -> np.ndarray:
    shape = [int(size) for size in spec.shape]
    return (np.random.default_rng(0).standard_normal(shape) if "float" in spec.dtype else np.zeros(shape)).astype(spec.dtype)


def main(path: str) -> None:
    """The process."""
    own_process.limit_this()
    run(Path(path))


if __name__ == "__main__":
    main(sys.argv[1])
