"""A Dask cluster; the only importer of distributed.

Workers may be on other machines: what a workload's folder holds is sent to each of them, also to those that join or start again later, and never read
from a shared disk. A worker that dies costs what it had under way: the scheduler gives that to another one.
"""

import contextlib
import shutil
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Executor, Future
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

from distributed import Client, KilledWorker, Worker, WorkerPlugin
from distributed import Future as DaskFuture

from bridge.errors import ToolError, UsageError, first_line

CONNECT_S = 10.0
_unpacked: dict[str, Path] = {}  # in a worker: run -> folder


@dataclass(frozen=True, slots=True)
class OnWorker(PathLike[str]):
    """A folder that was sent; its path where it was unpacked."""

    run: str

    def __fspath__(self) -> str:
        return str(_unpacked[self.run])


class Files(WorkerPlugin):  # type: ignore[misc]  # distributed is not there for the type checker
    """Files of a folder, unpacked on every worker when it starts, or now.

    Args:
        run: whose files.
        content: relative path -> bytes.
    """

    def __init__(self, run: str, content: Mapping[str, bytes]) -> None:
        self.run, self.content = run, content

    def setup(self, worker: Worker) -> None:
        """Writes the files into the worker's own directory; folders in them appear whole."""
        target = Path(worker.local_directory) / f"bridge-{self.run}"
        target.mkdir(parents=True, exist_ok=True)
        for name, content in self.content.items():
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        _unpacked[self.run], self.content = target, {}

    def teardown(self, worker: Worker) -> None:
        """Takes them away."""
        shutil.rmtree(Path(worker.local_directory) / f"bridge-{self.run}", ignore_errors=True)
        _unpacked.pop(self.run, None)


class DaskExecutor(Executor):
    """Runs functions on a cluster. A folder among the arguments is sent to the workers once; files that come into it later follow.

    Args:
        client: connected to the scheduler.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._sent: dict[tuple[Path, int], _Sent] = {}  # by path and inode: a folder may be written again

    def submit[**P, T](self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Runs the function on one of the workers."""
        outer: Future[T] = Future()
        there = (self._there(arg) if isinstance(arg, Path) and arg.is_dir() else arg for arg in args)
        inner = self._client.submit(fn, *there, pure=False, **kwargs)  # not pure: each call runs, even if one like it ran before
        outer.add_done_callback(lambda done: inner.cancel() if done.cancelled() else None)
        inner.add_done_callback(lambda done: _hand_over(done, outer))
        return outer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # as the base class has it
        """Takes what was sent away from the workers; the cluster stays. What was submitted and is not done by then is cancelled."""
        del wait, cancel_futures
        for sent in self._sent.values():
            for name in sent.plugins:
                if self._client.status == "running":  # the scheduler may have gone
                    with contextlib.suppress(OSError):
                        self._client.unregister_worker_plugin(name)
        self._sent.clear()

    def _there(self, folder: Path) -> OnWorker:
        sent = self._sent.setdefault((folder, folder.stat().st_ino), _Sent(uuid.uuid4().hex))
        files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
        new = {name: path.read_bytes() for name, path in files.items() if name not in sent.files}
        if new:
            name = f"bridge-{sent.run}-{len(sent.plugins)}"
            try:
                self._client.register_plugin(Files(sent.run, new), name=name)
            except ModuleNotFoundError as error:
                raise ToolError(
                    f"A Dask worker cannot load bridge: {first_line(error)}.", hint="Install tflite-bridge in the same version on every worker."
                ) from error
            sent.plugins.append(name)
            sent.files |= new.keys()
        return OnWorker(sent.run)


@dataclass(slots=True)
class _Sent:
    """What the workers have of a folder."""

    run: str
    files: set[str] = field(default_factory=set)
    plugins: list[str] = field(default_factory=list)


def connect(address: str) -> Client:
    """A client of the scheduler at an address.

    Raises:
        UsageError: nobody answers there.
    """
    try:
        return Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"No Dask scheduler answers at {address!r}: {first_line(error)}.", hint="Start one with `dask scheduler`, it prints its address."
        ) from error


def _hand_over[T](inner: DaskFuture, outer: "Future[T]") -> None:
    """The outcome of a task becomes that of the future that was given out, whatever it is: somebody waits for it."""
    if inner.cancelled():
        outer.cancel()
    if not outer.set_running_or_notify_cancel():
        return
    try:
        outer.set_result(inner.result())
    except KilledWorker:
        hint = "Memory may not suffice: start workers with more, or with fewer threads."
        outer.set_exception(ToolError("ends its Dask worker every time.", hint=hint))
    except BaseException as error:  # noqa: BLE001  # of any kind, as the task raised it
        lost = isinstance(error, OSError | CancelledError) and inner.status != "error"  # not raised by the task, but on the way of its result
        outer.set_exception(ToolError("the Dask scheduler has gone.", hint="What was measured is kept: run again.") if lost else error)
