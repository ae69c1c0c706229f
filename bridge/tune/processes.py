"""Worker processes on this machine, which may die without taking the others with them."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait


class Processes(Executor):
    """A pool of processes; after one of them died, and what was under way failed with `BrokenExecutor`, the next call opens a new pool.

    Args:
        count: of processes.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool = self._open()

    def submit[**P, T](self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Runs the function in one of the processes."""
        try:
            return self._pool.submit(fn, *args, **kwargs)
        except BrokenProcessPool:
            self._pool.shutdown()
            self._pool = self._open()
            return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # as the base class has it
        """Ends the processes."""
        self._pool.shutdown(wait=wait, cancel_futures=cancel_futures)

    def _open(self) -> ProcessPoolExecutor:
        # Not forked: this process may have threads, whose locks a forked child would inherit as they are. A server that has loaded the runtimes and does
        # nothing else forks a worker in 20 ms; to load them takes seconds.
        context = multiprocessing.get_context("forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn")
        context.set_forkserver_preload(["bridge.tune.trial"])
        return ProcessPoolExecutor(self._count, context, initializer=_begin)


def _begin() -> None:
    """In a worker: Ctrl-C is for the parent alone, and whoever loses the parent ends, also after a kill -9."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
