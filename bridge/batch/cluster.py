"""Jobs on a Dask cluster. A worker that dies costs what it had under way: the scheduler gives that to another one."""

import contextlib
import warnings
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from bridge.batch.jobs import Job
from bridge.batch.shipping import Missing, convert_there, pack
from bridge.errors import BridgeError, ToolError, first_line
from bridge.report.summary import ModelRow
from bridge.tune.executors import open_executor

UNDER_WAY = 64  # jobs that the cluster knows at a time: files that are sent wait in the scheduler's memory


class Cluster:
    """Converts on the workers of a scheduler; at the end of the block what has not begun is taken back, and what runs there is not waited for.

    Args:
        address: of the scheduler.
    """

    def __init__(self, address: str) -> None:
        self._address, self._open = address, contextlib.ExitStack()
        self._threads = ThreadPoolExecutor(UNDER_WAY)
        self._executor: Executor | None = None

    def __enter__(self) -> Self:
        self._open.enter_context(warnings.catch_warnings())
        warnings.filterwarnings(
            "ignore", "Sending large graph"
        )  # files travel with the jobs, so that the scheduler can give them to another worker; 92 MB took 4 s
        self._executor = self._open.enter_context(open_executor(dask=self._address))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._open.close()
        self._threads.shutdown()

    def submit(self, job: Job, output_dir: Path, *, force: bool) -> Future[ModelRow]:
        """The row of the job, once its results are in the folder."""
        return self._threads.submit(self._convert, job, output_dir, force)

    def _convert(self, job: Job, output_dir: Path, force: bool) -> ModelRow:
        assert self._executor is not None
        parcel = pack(job)
        try:
            while isinstance(answer := self._executor.submit(convert_there, parcel).result(), Missing):
                parcel = parcel.with_contents(answer.paths)
        except (BridgeError, CancelledError):
            raise
        except Exception as error:  # a cluster may raise anything, and its failure is one row
            raise ToolError(f"The Dask cluster failed: {type(error).__name__}: {first_line(error)}.") from error
        return answer.unpack(output_dir, force=force)
