"""The process boundary around onnx2tf: a private folder, a time limit, a memory limit, a log."""

import importlib.metadata
import importlib.util
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import psutil
from msgspec import Struct

from bridge import ahead, outside
from bridge.ahead import COMMAND_VARIABLE
from bridge.errors import ToolError, UsageError

OWN_COMMAND = (sys.executable, "-m", ahead.PACKAGE)
INSTALL_COMMAND = "pip install --no-deps onnx2tf==2.6.9"
# Our own normalising replaces onnxsim and the automatic names; float16 files and console art are not wanted.
ARGUMENTS = ("-nuo", "-nuonag", "-n", "-v", "error")
LOG_TAIL_LINES = 3

Via = Literal["direct", "tensorflow"]
# `-coion`: TensorFlow's converter puts `serving_default_` before the names of inputs.
BACKENDS = MappingProxyType({"direct": (), "tensorflow": ("-tb", "tf_converter", "-coion")})
SAVED_MODEL_PARTS = frozenset({"assets", "fingerprint.pb", "saved_model.pb", "variables"})
TENSORFLOW_PACKAGES = ("tensorflow", "tf_keras")


class Onnx2tfOptions(Struct, frozen=True):
    """How onnx2tf runs.

    Attributes:
        log: where everything that it prints goes.
        via: `direct` writes the TFLite file itself, `tensorflow` builds a SavedModel and hands that to TensorFlow's converter.
        timeout_s: after this many seconds the process and its children are killed.
        memory_limit_mb: address space that the process may map; 0 = no limit.
    """

    log: Path
    via: Via = "direct"
    timeout_s: float = 600.0
    memory_limit_mb: int = 0


def command() -> tuple[str, ...]:
    """The command that runs onnx2tf: the environment variable BRIDGE_ONNX2TF, else the onnx2tf of this Python.

    Raises:
        UsageError: neither is there, or the variable is no command line.
    """
    configured = os.environ.get(COMMAND_VARIABLE)
    if configured:
        try:
            return tuple(shlex.split(configured))
        except ValueError as error:
            raise UsageError(f"{COMMAND_VARIABLE} cannot be read: {error}. Received: {configured}.", hint="Quote it as a shell does.") from error
    if importlib.util.find_spec("onnx2tf") is None:
        raise UsageError(
            f"onnx2tf is not installed in {sys.prefix} and {COMMAND_VARIABLE} is not set.",
            hint=f"{INSTALL_COMMAND}, or {COMMAND_VARIABLE}='uvx --python 3.12 onnx2tf' to run it from an environment of its own.",
            code="missing-package",
        )
    return OWN_COMMAND


def version() -> str:
    """Version of the installed onnx2tf, or the configured command."""
    configured = os.environ.get(COMMAND_VARIABLE)
    if configured:
        return configured
    try:
        return importlib.metadata.version("onnx2tf")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def check_backend(via: Via, *, saved_model: bool) -> None:
    """Refuses what cannot work before the model is read.

    Raises:
        UsageError: an unknown backend, one without its packages, or a SavedModel of one that makes none.
    """
    if via not in BACKENDS:
        raise UsageError(f"There is no way via {via!r}.", hint=f"One of: {', '.join(BACKENDS)}.")
    if saved_model and via != "tensorflow":
        raise UsageError("Only the way via TensorFlow makes a SavedModel.", hint="Add --via tensorflow, via='tensorflow' in Python.")
    missing = [name for name in TENSORFLOW_PACKAGES if importlib.util.find_spec(name) is None]
    if via == "tensorflow" and missing and not os.environ.get(COMMAND_VARIABLE):
        raise UsageError(
            f"The way via TensorFlow needs {' and '.join(missing)}.",
            hint="uv sync --extra tensorflow, or pip install 'tflite-bridge[tensorflow]'.",
            code="missing-package",
        )


def run(onnx_file: Path, *, keep_inputs: Sequence[str], options: Onnx2tfOptions) -> Path:
    """Converts a private copy of a normalised model, which onnx2tf may rewrite, and returns the float32 .tflite beside it.

    Args:
        onnx_file: alone in a folder of its own.
        keep_inputs: names of inputs that keep their layout; onnx2tf makes the others channels-last.
        options: backend, log and limits.

    Raises:
        ToolError: onnx2tf fails, takes too long, or writes no file.
        UsageError: onnx2tf is not there.
    """
    folder, log, timeout_s = onnx_file.parent / "onnx2tf", options.log, options.timeout_s
    arguments = [*command(), "-i", str(onnx_file), "-o", str(folder), *ARGUMENTS, *BACKENDS[options.via]]
    if keep_inputs:
        arguments += ["-kat", *keep_inputs]
    log.write_text(f"$ {shlex.join(arguments)}\n", encoding="utf-8")
    with outside.ONNX2TF:
        code = _wait(arguments, log, onnx_file.parent, timeout_s=timeout_s, memory_limit_mb=options.memory_limit_mb)
    written = folder / f"{onnx_file.stem}_float32.tflite"
    if code is None:
        raise ToolError(
            f"onnx2tf did not finish within {timeout_s:g} s and was stopped; its log: {log}.",
            hint="--timeout SECONDS gives it more time.",
            causes=["onnx2tf-timeout"],
        )
    if code != 0 or not written.is_file():
        ended = f"was killed by signal {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        raise ToolError(
            f"onnx2tf {ended} and wrote {'a file' if written.is_file() else 'no file'}: {_last_words(log)}",
            hint=f"The whole log: {log}. `bridge inspect` names the operators it may not know.",
            causes=["onnx2tf-failed"],
        )
    return written


def keep_saved_model(written: Path, target: Path) -> None:
    """Copies the SavedModel beside a file that `run` gave; the folder also holds files that are none of it.

    Raises:
        ToolError: onnx2tf wrote none.
    """
    if not (written.parent / "saved_model.pb").is_file():
        raise ToolError("onnx2tf wrote no SavedModel.", hint="Leave out --saved-model.", causes=["onnx2tf-failed"])
    shutil.copytree(
        written.parent, target, ignore=lambda folder, names: [] if Path(folder) != written.parent else sorted({*names} - SAVED_MODEL_PARTS)
    )


def _wait(arguments: Sequence[str], log: Path, folder: Path, *, timeout_s: float, memory_limit_mb: int) -> int | None:
    """The exit code, or None when the time is up; the process group dies with us in either case."""
    try:
        process = _started(arguments, log, folder)
    except OSError as error:
        raise UsageError(f"onnx2tf cannot be started as {shlex.join(arguments[:1])}: {error.strerror}.", hint=f"Check {COMMAND_VARIABLE}.") from error
    try:
        watched = psutil.Process(process.pid)  # notices the end at once, where `Popen.wait` looks every 50 ms
        if memory_limit_mb > 0:
            watched.rlimit(psutil.RLIMIT_AS, (memory_limit_mb << 20, memory_limit_mb << 20))
        code: int = watched.wait(timeout_s)
    except psutil.TimeoutExpired:
        return None
    else:
        process.returncode = code  # it is reaped
        return code
    finally:
        ahead.end(process)


def _started(arguments: Sequence[str], log: Path, folder: Path) -> subprocess.Popen[bytes]:
    """The process that waits with onnx2tf imported, if that is what is to run, else a new one."""
    if tuple(arguments[:3]) == OWN_COMMAND and (process := ahead.take()) is not None:
        try:
            ahead.run(process, arguments[3:], folder, log)
        except OSError:  # it has ended: a new one says why, in the log
            ahead.end(process)
        else:
            return process
    with log.open("ab") as output:
        return subprocess.Popen(  # a list, so no shell reads it
            arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=folder, start_new_session=True
        )


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text("utf-8", "replace").replace("\r", "\n").splitlines() if line.strip()]
    return " | ".join(lines[-LOG_TAIL_LINES:])[-600:] or "it printed nothing."
