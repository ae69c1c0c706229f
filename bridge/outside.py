"""How long the tools of others work inside a run: onnx2tf, and the runtimes that open and run models."""

import threading
import time
from collections.abc import Mapping
from types import TracebackType

_here = threading.local()


def leave_out_this_thread() -> None:
    """Its blocks do not count from now on: it works beside the stages, which would look shorter than they are."""
    _here.left_out = True


class Clock:
    """Seconds in which at least one thread was inside the blocks of a clock; like processor time they count for the whole process and only grow.

    Args:
        others: clocks that run whenever this one does.
    """

    def __init__(self, *others: "Clock") -> None:
        self._others, self._lock = others, threading.RLock()  # a model may be closed wherever Python collects garbage
        self._inside, self._since, self._seconds = 0, 0.0, 0.0

    def __enter__(self) -> None:
        if getattr(_here, "left_out", False):
            return
        for other in self._others:
            other.__enter__()
        with self._lock:
            if self._inside == 0:
                self._since = time.perf_counter()
            self._inside += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if getattr(_here, "left_out", False):
            return
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._seconds += time.perf_counter() - self._since
        for other in self._others:
            other.__exit__(kind, error, trace)

    @property
    def seconds(self) -> float:
        """Up to now."""
        with self._lock:
            return self._seconds + (time.perf_counter() - self._since if self._inside else 0.0)


ANY = Clock()
ONNX2TF = Clock(ANY)  # its process, start and end included
OPENING = Clock(ANY)  # onnxruntime and LiteRT load, check and prepare a model, or let go of it
INFERENCE = Clock(ANY)  # they run one


class Shares:
    """What a stretch of work spends from now on."""

    def __init__(self) -> None:
        self._started, self._before = time.perf_counter(), _now()

    def seconds(self) -> Mapping[str, float]:
        """`whole`, the three tools of others, and `own`: the rest, in which none of them worked."""
        whole = time.perf_counter() - self._started
        spent = {name: seconds - self._before[name] for name, seconds in _now().items()}
        own = whole - spent.pop("any")
        return {"whole": whole, "own": own, **spent}


def _now() -> dict[str, float]:
    return {"any": ANY.seconds, "onnx2tf": ONNX2TF.seconds, "opening": OPENING.seconds, "inference": INFERENCE.seconds}
