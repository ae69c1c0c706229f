"""The command line in a child process: where a native library ends that process, the user reads a sentence instead of nothing.

onnxruntime, LiteRT, onnx's parser and the frameworks are C++ and trust their input; what a stranger's file does to one of them must not look like a
success or like nothing at all. The fork comes before anything is loaded, so it costs a millisecond.
"""

import atexit
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import NoReturn

from bridge.errors import ToolError

PASSED_ON = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
SENT_BY_THE_KERNEL = 1  # `si_code` above 0: of a terminal, which sends to the child as well
PR_SET_PDEATHSIG = 1


def supervised(command: Callable[[], None]) -> None:
    """Runs a command that ends with SystemExit, in a child where the system allows that, and ends as it does; who asks twice to end it is obeyed at once.

    Raises:
        SystemExit: with the command's code.
        ToolError: a signal ended the child.
    """
    if not hasattr(signal, "sigwaitinfo"):  # macOS
        command()
        raise SystemExit(0)
    awaited = PASSED_ON | {signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        _die_with(parent)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        _end_at_once(command)
    status = None
    asked_to_end = 0
    while status is None:
        found = signal.sigwaitinfo(awaited)
        if found.si_signo in PASSED_ON:
            asked_to_end += 1
            if asked_to_end > 1:  # inside a native library that does not come back, the child hears nothing
                os.kill(child, signal.SIGKILL)
            elif found.si_code < SENT_BY_THE_KERNEL:
                os.kill(child, found.si_signo)
            continue
        ended, code = os.waitpid(child, os.WNOHANG)
        status = code if ended else None
    raise SystemExit(_exit_code(os.waitstatus_to_exitcode(status), asked_to_end > 0))


@contextlib.contextmanager
def ended_by(*numbers: signal.Signals) -> Iterator[None]:
    """Signals that end a process end the block like Ctrl-C, so that what is unfinished is removed; elsewhere than in the main thread nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _frame: object) -> None:
        sys.stderr.write("ended: nothing was written.\n")
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _die_with(parent: int) -> None:
    """A parent that is killed takes the child along."""
    import ctypes  # what the commands load loads it as well

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _end_at_once(command: Callable[[], None]) -> NoReturn:
    """Runs a command and ends the process without taking apart what it has loaded, which takes a fifth of a second.

    What is registered for the end of the process runs, and what was printed is written out; where a thread is left, or that cannot be written,
    Python ends as it always does.
    """
    code = 0
    try:
        command()
    except SystemExit as end:
        if end.code is not None and not isinstance(end.code, int):
            raise
        code = end.code or 0
    if threading.active_count() == 1:
        atexit._run_exitfuncs()
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    raise SystemExit(code)


def _exit_code(code: int, asked_to_end: bool) -> int:
    if code >= 0:
        return code
    if asked_to_end:
        return 128 - code
    name = signal.Signals(-code).name
    killed = "the system ran out of memory, or somebody killed it" if name == "SIGKILL" else "a native library crashed on a model or on data"
    raise ToolError(
        f"bridge ended by {name}: {killed}. Nothing was written.",
        hint="A damaged file does that; check where the model comes from. `bridge inspect` reads it without running it.",
        code="library-crashed",
    )
