"""Where trials run: in this process, in several, or on a Dask cluster."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

from bridge.errors import UsageError
from bridge.tune.processes import Processes


@contextlib.contextmanager
def open_executor(*, workers: int = 1, dask: str | None = None) -> Iterator[Executor]:
    """An executor for `Lab`; what was not begun is cancelled at the end of the block.

    Args:
        workers: 1 = in this process, which is the only way for live metrics; more = in so many processes.
        dask: address of a Dask scheduler (`tcp://host:8786`), whose workers run the trials then.

    Raises:
        UsageError: there is no such number of workers, the extra `distributed` is not installed, or no scheduler answers.
    """
    if workers < 1:
        raise UsageError(f"At least one worker is needed. Received: workers={workers}.")
    with contextlib.ExitStack() as stack:
        executor = _dask(dask, stack) if dask is not None else ThreadPoolExecutor(1) if workers == 1 else Processes(workers)
        try:
            yield executor
        finally:
            executor.shutdown(cancel_futures=True)


def _dask(address: str, stack: contextlib.ExitStack) -> Executor:
    try:
        from bridge.tune.dask_cluster import DaskExecutor, connect
    except ModuleNotFoundError as error:
        raise UsageError(
            f"A Dask cluster needs {error.name}, which is not installed.",
            hint="uv sync --extra distributed, or pip install 'tflite-bridge[distributed]'.",
        ) from error
    return DaskExecutor(stack.enter_context(connect(address)))
