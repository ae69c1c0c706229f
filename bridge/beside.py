"""Work that goes on beside the stages, on the core that they leave idle."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from bridge import outside


class Beside:
    """One thread that works off what it is given, in that order; it ends with the block, whatever is unfinished then.

    Long work takes its steps from `steps`, so that it ends soon as well. Its clocks do not count: `outside` tells of the stages.

    Args:
        wanted: whether there is such a thread; without it all work is done where its result is asked for.
    """

    def __init__(self, *, wanted: bool) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, initializer=outside.leave_out_this_thread) if wanted else None
        self._ended = threading.Event()

    def __enter__(self) -> "Beside":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    @property
    def wanted(self) -> bool:
        """Whether there is a thread."""
        return self._pool is not None

    def start[T](self, work: Callable[[], T]) -> Callable[[], T]:
        """Gives the work to the thread; what is returned waits for the result, and raises what the work raised."""
        if self._pool is None:
            return work
        future: Future[T] = self._pool.submit(work)
        return future.result

    def steps[T](self, items: Iterable[T]) -> Iterator[T]:
        """The items, until the block ends."""
        for item in items:
            if self._ended.is_set():
                return
            yield item
