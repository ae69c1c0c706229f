"""Runs one task on several threads over one stream of samples."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

type Sample = Mapping[str, np.ndarray]


class Stream:
    """Hands out samples with their numbers, each to one worker, and counts them.

    Args:
        samples: read by one worker at a time.
        progress: told `1` after each sample, by one worker at a time.
    """

    def __init__(self, samples: Iterable[Sample], progress: Callable[[int], None]) -> None:
        self._samples: Iterator[tuple[int, Sample]] = enumerate(samples)
        self._progress = progress
        self._lock = threading.Lock()
        self._closed = False

    def __iter__(self) -> Iterator[tuple[int, Sample]]:
        while True:
            with self._lock:
                item = None if self._closed else next(self._samples, None)
            if item is None:
                return
            yield item
            with self._lock:
                self._progress(1)

    def close(self) -> None:
        """Ends the stream for every worker after its current sample."""
        self._closed = True


def run(tasks: Iterable[Callable[[Stream], None]], stream: Stream) -> None:
    """Runs each task on a thread of its own until the stream ends; the first failure ends all."""
    first, *others = tasks
    if not others:
        return _guarded(first, stream)
    with ThreadPoolExecutor(max_workers=len(others)) as pool:
        futures = [pool.submit(_guarded, task, stream) for task in others]
        _guarded(first, stream)
        for future in futures:
            future.result()


def _guarded(task: Callable[[Stream], None], stream: Stream) -> None:
    try:
        task(stream)
    except BaseException:
        stream.close()
        raise
