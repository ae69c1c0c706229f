"""Runs functions in forks of a process that has loaded everything: a crash costs one case, a start costs milliseconds."""

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import onnx
import onnx.parser

import bridge
from bridge import ahead
from bridge.convert import onnx2tf_process

type Json = dict[str, object]

MODULES_VARIABLE = "OPERATORS_MODULES"
WARM_UP = '<ir_version: 8, opset_import: ["" : 17]> g (float[1, 3, 8, 8] x) => (float[1, 3, 8, 8] y) { z = Relu (x) y = Softmax (z) }'


def preload() -> None:
    """Loads what every case needs, so that its fork has it; and makes onnx2tf start as a fork as well."""
    onnx2tf_process._wait = _fork_onnx2tf
    ahead.start = lambda source: None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "model.onnx"
        onnx.save_model(onnx.parser.parse_model(WARM_UP), model)
        os.environ[MODULES_VARIABLE] = str(folder / "modules")
        bridge.convert(model, precision="float32", output_dir=folder / "out", compare=False, threads=1)
        for module in (folder / "modules").read_text().split():  # imported here rather than run here: no state of a run is handed on
            with contextlib.suppress(ImportError):
                importlib.import_module(module)
        del os.environ[MODULES_VARIABLE]
        _share_schema(folder)
    gc.collect()
    gc.freeze()


def _share_schema(folder: Path) -> None:
    """onnx2tf compiles the classes of the TFLite schema in every run; once is enough."""
    from onnx2tf.tflite_builder import schema_loader

    load = schema_loader.load_schema_module
    schema = load(str(folder))
    for name, module in list(sys.modules.items()):
        if name.startswith("onnx2tf") and getattr(module, "load_schema_module", None) is load:
            vars(module)["load_schema_module"] = lambda output_folder_path: schema


def _fork_onnx2tf(arguments: Sequence[str], log: Path, folder: Path, *, timeout_s: float, memory_limit_mb: int) -> int | None:
    """In place of a new interpreter: the same command line, the same folder, the same log; its own process."""
    position = list(arguments).index("-i")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.dup2(os.open(log, os.O_WRONLY | os.O_APPEND), 1)
            os.dup2(1, 2)
            os.chdir(folder)
            sys.argv = ["onnx2tf", *arguments[position:]]
            sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
            runpy.run_module("onnx2tf.__main__", run_name="__main__")
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except BaseException:  # noqa: BLE001  # what a new interpreter would print and end with
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            if MODULES_VARIABLE in os.environ:
                Path(os.environ[MODULES_VARIABLE]).write_text(" ".join(name for name in sys.modules if name != "__main__"))
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run_all[T](items: Iterable[T], function: Callable[[T], Json], *, jobs: int, timeout_s: float) -> Iterator[tuple[T, Json]]:
    """Each item's result as its fork ends; `{"crash": reason}` where the fork wrote none."""
    waiting = list(items)[::-1]
    running: dict[int, tuple[T, int]] = {}
    while waiting or running:
        while waiting and len(running) < jobs:
            item = waiting.pop()
            reader, child = _start(item, function, timeout_s)
            running[reader] = (item, child)
        for reader in select.select(list(running), [], [])[0]:
            item, child = running.pop(reader)
            with os.fdopen(reader) as pipe:
                text = pipe.read()
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            yield item, json.loads(text) if text else {"crash": _reason(code)}


def _start[T](item: T, function: Callable[[T], Json], timeout_s: float) -> tuple[int, int]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        signal.alarm(int(timeout_s))
        os.close(reader)
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        try:
            text = json.dumps(function(item))
        except BaseException:  # noqa: BLE001  # an internal error is a result too
            text = json.dumps({"crash": traceback.format_exc()[-1500:]})
        os.write(writer, text.encode())
        os._exit(0)
    os.close(writer)
    return reader, child


def _reason(code: int) -> str:
    if code == -signal.SIGALRM:
        return "time is up"
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
