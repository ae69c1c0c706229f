"""Several models on a real Dask cluster, one of whose workers is killed in the middle."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bridge.batch import BatchModel, convert_many
from bridge.errors import UsageError
from bridge.report import read_report

distributed = pytest.importorskip("distributed", reason="needs the extra distributed")

MODEL = Path(__file__).parents[2] / "models" / "digits_cnn_bn_silu"
WORKERS = 2
# The first process that asks for samples waits to be killed with its worker; the next one gets them.
ONCE = """
import os, pathlib, time
import numpy as np
HERE = pathlib.Path({here!r})
def samples():
    try:
        (HERE / "pid.txt").touch(exist_ok=False)
    except FileExistsError:
        return dict(np.load({data!r}))
    (HERE / "pid.txt").write_text(str(os.getpid()))
    time.sleep(600)
"""


def start(*arguments: str, folder: Path) -> "subprocess.Popen[bytes]":
    """A command of Dask in a folder of its own, that sees bridge."""
    folder.mkdir()
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with (folder / "log").open("wb") as log:
        return subprocess.Popen([sys.executable, "-m", "dask", *arguments], env=environment, cwd=folder, stdout=log, stderr=log)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Of a scheduler with workers that nobody starts again."""
    file = tmp_path / "scheduler.json"
    known = ("--no-dashboard", "--scheduler-file", str(file))
    processes = [start("scheduler", "--port", "0", "--host", "127.0.0.1", *known, folder=tmp_path / "scheduler")]
    processes += [start("worker", "--no-nanny", "--nthreads", "1", *known, folder=tmp_path / f"worker-{number}") for number in range(WORKERS)]
    try:
        deadline = time.monotonic() + 60
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        with distributed.Client(scheduler_file=str(file), set_as_default=False) as client:
            client.wait_for_workers(WORKERS, timeout=60)
        yield json.loads(file.read_text())["address"]
    finally:
        for process in processes:
            process.kill()  # a worker that is asked to end waits for its scheduler, which may be gone first
        for process in processes:
            process.wait(20)


def test_a_killed_worker_costs_no_model(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(MODEL / "model.onnx", tmp_path / "net.onnx")
    (tmp_path / "half.onnx").write_bytes((MODEL / "model.onnx").read_bytes()[:70_000])
    (tmp_path / "once.py").write_text(ONCE.format(here=str(tmp_path), data=str(MODEL / "calibration.npz")))
    killed: list[int] = []

    def kill() -> None:
        while not (tmp_path / "pid.txt").is_file() or not (tmp_path / "pid.txt").read_text():
            time.sleep(0.05)
        converting = psutil.Process(int((tmp_path / "pid.txt").read_text()))
        worker = converting.parent()
        assert worker is not None
        os.kill(worker.pid, signal.SIGKILL)
        killed.append(converting.pid)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    models = [BatchModel(Path("net.onnx"), "killed", {"calibration": "once.py:samples"}), BatchModel(Path("half.onnx")), BatchModel(Path("net.onnx"))]
    summary = convert_many(models, dask=address, output_dir="out", compare=False, recover=(), calibration=str(MODEL / "calibration.npz"))
    assert [(row.name, row.exit_code, row.model) for row in summary.models] == [
        ("killed", 0, "net.onnx"),
        ("half", 2, "half.onnx"),
        ("net", 0, "net.onnx"),
    ]
    assert summary.jobs is None
    assert read_report(tmp_path / "out" / "killed" / "report.json").calibration.source == "once.py:samples"
    killer.join()
    deadline = time.monotonic() + 20
    while psutil.pid_exists(killed[0]) and time.monotonic() < deadline:  # it ends with its worker
        time.sleep(0.05)
    assert not psutil.pid_exists(killed[0])


def test_no_scheduler_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(MODEL / "model.onnx", tmp_path / "net.onnx")
    from bridge.tune import dask_cluster  # needs the extra

    monkeypatch.setattr(dask_cluster, "CONNECT_S", 1.0)  # `bridge.tune` is the function
    with pytest.raises(UsageError, match="No Dask scheduler answers"):
        convert_many(["net.onnx"], dask="tcp://127.0.0.1:1")
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]
