"""The program of the Python that `ahead` starts: it imports onnx2tf, waits for a job, and does what `python -m onnx2tf` does.

Run as a script, so that it imports nothing of bridge. Imported already, onnx2tf 2.6.9 takes 0.43 s of processor time for a model of 20 nodes: most of that for
its schema, which it compiles from source each time, for progress bars and for collecting garbage. Without those it is 0.15 s, and the same file.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import sys
import threading
from pathlib import Path

PACKAGE = "onnx2tf"
SCHEMA, SCHEMA_FILE = "onnx2tf.tflite_builder.schema.schema_generated", "schema_generated.py"
NO_PROGRESS = "tqdm.auto"  # without it there are no bars, and no thread that turns for each of them


def main() -> None:
    """Waits for one line of JSON on stdin: arguments, folder to work in, log. Without one nobody needs it any more."""
    schema = _imported()
    job = sys.stdin.buffer.readline()
    if not job:
        sys.exit()
    sys.argv[1:], folder, log = json.loads(job)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(log, os.O_WRONLY | os.O_APPEND), 1)
    os.dup2(1, 2)
    os.chdir(folder)
    if schema:
        _use_imported_schema(Path(sys.argv[sys.argv.index("-o") + 1]))
    code = 0
    try:
        runpy.run_module(PACKAGE, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is not None and not isinstance(end.code, int):
            raise
        code = end.code or 0
    _end_at_once(code)


def _imported() -> bool:
    """Imports what a conversion uses, and says whether its schema is there; what cannot be imported is said in the log later."""
    sys.modules[NO_PROGRESS] = None  # type: ignore[assignment]  # Python's way to say that there is no such module
    gc.disable()  # an import makes little garbage
    try:
        importlib.import_module(f"{PACKAGE}.{PACKAGE}")
        importlib.import_module(SCHEMA)
    except Exception:  # noqa: BLE001  # whatever a foreign module raises
        return False
    finally:
        gc.freeze()  # onnx2tf collects garbage twice: not what was imported
        gc.enable()
    return True


def _use_imported_schema(output: Path) -> None:
    """Puts into onnx2tf's output folder, where it would copy its schema to and compile it, one that is the imported schema."""
    output.mkdir(parents=True, exist_ok=True)
    (output / SCHEMA_FILE).write_text(f"from {SCHEMA} import *\n", encoding="utf-8")


def _end_at_once(code: int) -> None:
    """Ends the process without taking apart what it has loaded, unless a thread is left."""
    if threading.active_count() == 1:
        atexit._run_exitfuncs()
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
