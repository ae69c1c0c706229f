"""Where trials run: in this process, in several, or on a Dask cluster."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor


@contextlib.contextmanager
def open_executor(*, workers: int = 1) -> Iterator[Executor]:
    """An executor for `Lab`.

    Args:
        workers: 1 = in this process.
    """
    if workers != 1:
        raise NotImplementedError
    pool = ThreadPoolExecutor(max_workers=1)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
