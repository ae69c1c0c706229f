"""A Python that imports onnx2tf while the model is still being read: for a small model those imports are most of what onnx2tf takes."""

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

COMMAND_VARIABLE = "BRIDGE_ONNX2TF"
PACKAGE = "onnx2tf"
PROGRAM = Path(__file__).with_name("onnx2tf_waiting.py")

_waiting: list[subprocess.Popen[bytes]] = []  # none or one


@contextlib.contextmanager
def started(source: object) -> Iterator[None]:
    """It runs from now on, or since `start`; what the block does not take ends with it."""
    start(source)
    try:
        yield
    finally:
        while _waiting:
            end(_waiting.pop())


def start(source: object) -> None:
    """Starts it for a model, unless there is none or it needs no onnx2tf, one waits already, or another command or none is installed."""
    if _waiting or source is None or str(source).endswith(".tflite") or os.environ.get(COMMAND_VARIABLE) or importlib.util.find_spec(PACKAGE) is None:
        return
    quiet, alone = subprocess.DEVNULL, "-P"  # which imports nothing from the current folder
    command = [sys.executable, alone, str(PROGRAM)]
    with contextlib.suppress(OSError):  # `run` of a new process says what is wrong
        _waiting.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, start_new_session=True))


def take() -> subprocess.Popen[bytes] | None:
    """The process that waits, to be given to `run`; None where there is none."""
    return _waiting.pop() if _waiting else None


def run(process: subprocess.Popen[bytes], arguments: Sequence[str], folder: Path, log: Path) -> None:
    """Lets it run.

    Args:
        process: one that was taken.
        arguments: of onnx2tf.
        folder: it works in.
        log: an existing file; what onnx2tf prints is appended.

    Raises:
        OSError: it has ended.
    """
    assert process.stdin is not None
    with process.stdin:
        process.stdin.write(f"{json.dumps([list(arguments), str(folder), str(log.absolute())])}\n".encode())


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and all it has started."""
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
