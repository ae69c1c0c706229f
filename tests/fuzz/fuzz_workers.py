"""Runs inputs in forks of a process that has loaded everything, each with a time and a memory limit; a crash or a hang costs one input."""

import ctypes
import faulthandler
import json
import os
import resource
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import psutil
from fuzz_targets import Outcome

PR_SET_PDEATHSIG = 1
INPUTS_OF_A_WORKER = 200  # then a new fork takes over, so that no leak of one input is blamed on another

type Job = tuple[str, int]  # loader, number of the input


class Worker:
    """A fork that takes one input after the other."""

    def __init__(self, attempt: Callable[[Job, Path], Outcome], folder: Path, memory_mb: int) -> None:
        self.jobs_done, self.job, self.started = 0, ("", 0), 0.0
        job_reader, self.job_writer = os.pipe()
        self.reader, writer = os.pipe()
        self.folder = Path(tempfile.mkdtemp(dir=folder))
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.job_writer)
            os.close(self.reader)
            _serve(attempt, os.fdopen(job_reader), writer, self.folder, memory_mb)
        os.close(job_reader)
        os.close(writer)

    def give(self, job: Job) -> None:
        self.job, self.started = job, time.monotonic()
        self.jobs_done += 1
        os.write(self.job_writer, (json.dumps(job) + "\n").encode())

    def take(self) -> Outcome:
        """The result that is there to be read; a fork that died has the signal as its result."""
        text = b""
        while not text.endswith(b"\n"):
            piece = os.read(self.reader, 1 << 16)
            if not piece:
                code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
                self.pid = 0
                return {"outcome": "crash", "detail": signal.Signals(-code).name if code < 0 else f"exit code {code}"}
            text += piece
        found: Outcome = json.loads(text)
        return found

    def end(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0
        os.close(self.job_writer)
        os.close(self.reader)
        shutil.rmtree(self.folder, ignore_errors=True)


def _serve(attempt: Callable[[Job, Path], Outcome], jobs: Iterable[str], writer: int, folder: Path, memory_mb: int) -> None:
    """Never returns, whatever comes up: above lies what the parent was doing."""
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # no worker outlives the fuzzer
        faulthandler.disable()  # pytest's would tell of every crash
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        limit = psutil.Process().memory_info().vms + (memory_mb << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for line in jobs:
            place = Path(tempfile.mkdtemp(dir=folder))
            loader, number = json.loads(line)
            outcome = attempt((loader, number), place)
            shutil.rmtree(place, ignore_errors=True)
            os.write(writer, (json.dumps(outcome) + "\n").encode())
        os._exit(0)
    finally:
        os._exit(1)


def run_all(
    jobs: Iterable[Job], attempt: Callable[[Job, Path], Outcome], *, folder: Path, workers: int, seconds: float, memory_mb: int
) -> Iterator[tuple[Job, Outcome, float]]:
    """Each input's result, and its seconds, as they come; what takes longer than `seconds` is a hang and is killed."""
    waiting, busy, free = iter(jobs), dict[int, Worker](), list[Worker]()
    while True:
        while len(busy) < workers and (job := next(waiting, None)) is not None:
            worker = free.pop() if free else Worker(attempt, folder, memory_mb)
            worker.give(job)
            busy[worker.reader] = worker
        if not busy:
            break
        ready = select.select(list(busy), [], [], 0.5)[0]
        now = time.monotonic()
        for reader, worker in list(busy.items()):
            if reader in ready:
                outcome: Outcome = worker.take()
            elif now - worker.started > seconds:
                outcome = {"outcome": "hang", "detail": f"over {seconds:g} s"}
            else:
                continue
            del busy[reader]
            yield worker.job, outcome, now - worker.started
            if outcome["outcome"] in ("crash", "hang") or worker.jobs_done >= INPUTS_OF_A_WORKER:
                worker.end()
            else:
                free.append(worker)
    for worker in free:
        worker.end()
