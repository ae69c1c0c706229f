"""The process boundary around one conversion: own memory, own temporary files; whatever happens in it, what comes back is a row."""

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from bridge.batch.child import PATIENCE_S
from bridge.batch.jobs import Job
from bridge.files import write_bytes
from bridge.report.summary import INTERRUPTED, ModelRow

LOG = "process.log"  # in the folder of results, where the process ended without a word
ROOT = Path(__file__).parents[2]
# The folder of the package last, for a checkout that is not installed; `-P` keeps files of the current folder from passing for packages.
START = "import sys; sys.path.append(sys.argv[1]); from bridge.batch.child import main; main(int(sys.argv[2]))"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")


class Processes:
    """Starts conversions and can end all that run."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock, self._ended = threading.Lock(), False

    def run(self, job: Job, output_dir: Path, *, force: bool, cwd: Path | None = None, tell: Callable[[str], None] = lambda stage: None) -> ModelRow:
        """Converts; a process that dies is a row with the signal and its last words, which stand in LOG too.

        Args:
            job: what to convert.
            output_dir: for the results.
            force: write into a folder that holds other files.
            cwd: what relative paths are seen from, the current folder if None.
            tell: called with the name of each stage.
        """
        begun = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="bridge-job-") as private:
            log = Path(private, "log")
            temporary = Path(private, "tmp")
            temporary.mkdir()
            code, row = self._wait(pickle.dumps((job, output_dir, force)), log, temporary, _threads(job), cwd, tell)
            if row is None:
                row = _dead(job, code, log, output_dir, interrupted=self._ended)
        return row if row.exit_code is None else row.model_copy(update={"seconds": time.perf_counter() - begun})

    def end(self) -> None:
        """Tells all to end, then ends them, with everything that they started; nothing starts after that."""
        with self._lock:
            self._ended = True
            running = list(self._running)
        started = [one for process in running for one in _started_by(process)]
        for process in running:
            process.send_signal(signal.SIGINT)
        end = time.monotonic() + PATIENCE_S
        while self._running and time.monotonic() < end:
            time.sleep(0.02)  # the threads that read from the processes wait for them
        for process in running:
            process.kill()
        for one in started:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()

    def _wait(
        self, request: bytes, log: Path, temporary: Path, threads: int, cwd: Path | None, tell: Callable[[str], None]
    ) -> tuple[int, ModelRow | None]:
        """The exit code, and the row if the process told one."""
        mine, its = os.pipe()
        variables = {name: os.environ.get(name, str(threads)) for name in THREAD_VARIABLES}
        with os.fdopen(mine, encoding="utf-8") as channel, log.open("wb") as file:
            try:
                with self._lock:
                    if self._ended:
                        return INTERRUPTED, None
                    process = subprocess.Popen(
                        [sys.executable, "-P", "-c", START, str(ROOT), str(its)],
                        stdin=subprocess.PIPE,
                        stdout=file,
                        stderr=subprocess.STDOUT,
                        pass_fds=(its,),
                        cwd=cwd,
                        env=os.environ | variables | {"TMPDIR": str(temporary)},
                        start_new_session=True,  # Ctrl-C reaches us alone, and `end` passes it on
                    )
                    self._running.add(process)
            finally:
                os.close(its)
            assert process.stdin is not None
            try:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(request)
                    process.stdin.flush()
                row = None
                for line in channel:
                    said = json.loads(line)
                    if "row" in said:
                        row = ModelRow.model_validate(said["row"])
                    else:
                        tell(said["stage"])
                return process.wait(), row
            finally:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
                process.wait()
                with self._lock:
                    self._running.discard(process)


def _threads(job: Job) -> int:
    threads = job.options.get("threads", 1)
    return threads if isinstance(threads, int) else 1


def _started_by(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    try:
        return list(psutil.Process(process.pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _dead(job: Job, code: int, log: Path, output_dir: Path, *, interrupted: bool) -> ModelRow:
    """The row of a process that ended without one."""
    if interrupted:
        return ModelRow(name=job.name, model=str(job.path))
    ended = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    hint = f"The whole log: {output_dir / LOG}."
    if code == -signal.SIGKILL:
        hint += " The system kills what takes too much memory: fewer --jobs leave more for each."
    content = log.read_bytes()
    with contextlib.suppress(OSError):
        output_dir.mkdir(parents=True, exist_ok=True)
        write_bytes(output_dir / LOG, content)
    lines = [line.strip() for line in content.decode("utf-8", "replace").splitlines() if line.strip()]
    words = f": {lines[-1][-400:]}" if lines else "."
    return ModelRow(name=job.name, model=str(job.path), exit_code=1, error=f"The process that converts it {ended}{words}", hint=hint)
