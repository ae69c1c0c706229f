"""Trials on a real cluster: `dask scheduler` and `dask worker` as processes of their own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from workloads import SIZE, small_workload, specs

from bridge.errors import ToolError, UsageError
from bridge.quantize import Corrections
from bridge.tune.executors import open_executor
from bridge.tune.lab import Lab
from bridge.tune.settings import Setting
from bridge.tune.trial import Spec, run_trial
from bridge.tune.workload import Workload

distributed = pytest.importorskip("distributed", reason="needs the extra distributed")

from bridge.tune import dask_cluster  # noqa: E402  # after the look whether the extra is there

WORKERS = 3
HERE = Path(__file__).parent


def start(*arguments: str, folder: Path) -> "subprocess.Popen[bytes]":
    """A command of Dask that sees bridge and the modules of these tests, and no folder of this process."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])]), "OMP_NUM_THREADS": "1"}
    folder.mkdir(exist_ok=True)
    with (folder / "log").open("wb") as log:
        return subprocess.Popen([sys.executable, "-m", "dask", *arguments], env=environment, cwd=folder, stdout=log, stderr=log)


@dataclass
class Cluster:
    """A scheduler and its workers, which nobody starts again."""

    address: str
    scheduler: "subprocess.Popen[bytes]"
    workers: "list[subprocess.Popen[bytes]]"
    folder: Path


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    file = folder / "scheduler.json"
    known = ("--no-dashboard", "--scheduler-file", str(file))
    scheduler = start("scheduler", "--port", "0", "--host", "127.0.0.1", *known, folder=folder / "scheduler")
    workers = [start("worker", "--no-nanny", "--nthreads", "2", *known, folder=folder / f"worker-{number}") for number in range(WORKERS)]
    try:
        deadline = time.monotonic() + 60
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        with distributed.Client(scheduler_file=str(file), set_as_default=False) as client:
            client.wait_for_workers(WORKERS, timeout=60)
            address = client.scheduler.address
        yield Cluster(address, scheduler, workers, folder)
    finally:
        for process in (*workers, scheduler):
            process.kill()  # a worker that is asked to end waits for its scheduler, which may be gone first
        for process in (*workers, scheduler):
            process.wait(20)


@pytest.fixture(scope="module")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    return small_workload(tmp_path_factory.mktemp("workload"))


class Killing:
    """A progress that kills a process when the first trial is there."""

    def __init__(self, victim: "subprocess.Popen[bytes]") -> None:
        self._victim = victim

    def stage(self, name: str, total: int) -> None:
        pass

    def advance(self, steps: int) -> None:
        if self._victim.poll() is None:
            self._victim.send_signal(signal.SIGKILL)
            self._victim.wait()


def test_a_killed_worker_loses_nothing_and_settings_follow(cluster: Cluster, workload: Workload, tmp_path: Path) -> None:
    expected = [run_trial(workload.folder, spec) for spec in specs()]
    with open_executor(dask=cluster.address) as executor:
        lab = Lab(workload, executor, tmp_path / "cache", Killing(cluster.workers[0]))
        assert lab.measure(specs()) == expected
        assert (lab.ran, cluster.workers[0].returncode) == (len(expected), -signal.SIGKILL)
        first = workload.setting("min_max")
        workload.with_setting(Setting("other", first.ranges, Corrections({0: np.ones(SIZE, np.float32)})))
        spec = Spec(specs()[0].op_precisions, "other")
        (corrected,) = lab.measure([spec])
        assert corrected == run_trial(workload.folder, spec)
        assert corrected.outputs != expected[0].outputs
    for number in range(1, WORKERS):
        assert list((cluster.folder / f"worker-{number}").rglob("bridge-*")) == []


def test_a_scheduler_that_goes_is_said_and_what_was_measured_is_kept(cluster: Cluster, workload: Workload, tmp_path: Path) -> None:
    with open_executor(dask=cluster.address) as executor:
        lab = Lab(workload, executor, tmp_path / "cache", Killing(cluster.scheduler))
        with pytest.raises(ToolError, match="has gone"):
            lab.measure(specs())
    assert lab.ran == len(list((tmp_path / "cache").iterdir())) >= 1


def test_an_address_where_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_cluster, "CONNECT_S", 0.5)
    with pytest.raises(UsageError, match="No Dask scheduler answers"), open_executor(dask="tcp://127.0.0.1:9"):
        pass


class Ended:
    """A task of Dask that failed."""

    def __init__(self, error: BaseException, status: str) -> None:
        self._error, self.status = error, status

    def cancelled(self) -> bool:
        return False

    def result(self) -> object:
        raise self._error


@pytest.mark.parametrize(
    ("error", "status", "kind", "said"),
    [
        (distributed.KilledWorker("run_trial", None, 3), "error", ToolError, "ends its Dask worker every time"),
        (OSError("closed"), "finished", ToolError, "the Dask scheduler has gone"),
        (OSError("disk full"), "error", OSError, "disk full"),
        (UsageError("as it was"), "error", UsageError, "as it was"),
    ],
)
def test_every_end_of_a_task_is_handed_over(error: BaseException, status: str, kind: type[Exception], said: str) -> None:
    outer: Future[object] = Future()
    dask_cluster._hand_over(Ended(error, status), outer)
    with pytest.raises(kind, match=said):
        outer.result(timeout=0)
