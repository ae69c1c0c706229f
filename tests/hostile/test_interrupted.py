"""Runs that are killed, that find the disk full or the folder taken: nothing half-written, earlier results as they were, one sentence."""

import contextlib
import errno
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import door
import numpy as np
import psutil
import pytest
from door import Refused, check_sentence, code_of, state

from bridge.errors import UsageError
from bridge.files import results_folder, whole_file

fixture = door.refusal  # pytest finds it by its name, `refused`

MODEL = Path(__file__).parents[2] / "models" / "digits_cnn_bn_silu" / "model.onnx"
FAST = ("--no-compare", "--no-recover", "--threads", "1")
REPORT = Path(__file__).parents[1] / "snapshots" / "report.json"


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A folder that looks like the results of an earlier run."""
    folder = tmp_path / "out"
    folder.mkdir()
    for name in ("model.float32.tflite", "model.static_wi8_ai8.tflite", "report.html", "report.json", "ranges.json"):
        (folder / name).write_text(f"earlier {name}")
    return folder


def results(folder: Path) -> dict[str, bytes]:
    """Without the log, which tells of a run however it ends."""
    return {name: content for name, content in state(folder).items() if not name.endswith("onnx2tf.log")}


@contextlib.contextmanager
def started(*arguments: object, until: str, folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """A command in a process of its own, once a file of that name is there."""
    process = subprocess.Popen([sys.executable, "-m", "bridge", *map(str, arguments)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        end = time.monotonic() + 60
        while not list(folder.rglob(until)):
            assert time.monotonic() < end
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            time.sleep(0.01)
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_run_that_is_ended_leaves_earlier_results_as_they_were(number: signal.Signals, code: int, earlier: Path) -> None:
    before = results(earlier)
    with started("convert", MODEL, "-o", earlier, *FAST, until=".unfinished-*", folder=earlier) as process:
        process.send_signal(number)
        _, text = process.communicate(timeout=30)
        assert process.returncode == code
        assert "Traceback" not in text
        assert number is signal.SIGKILL or "nothing was written" in text
    end = time.monotonic() + 30
    while [child for child in psutil.process_iter(["cmdline"]) if str(earlier) in " ".join(child.info["cmdline"] or ())]:
        assert time.monotonic() < end  # a killed parent takes its child along
        time.sleep(0.05)
    left = {name for name in results(earlier) if name not in before}
    assert not left or number is signal.SIGKILL  # who is killed removes nothing
    assert {name: content for name, content in results(earlier).items() if name in before} == before


def test_the_next_run_removes_what_a_killed_one_left_behind(tmp_path: Path) -> None:
    left = tmp_path / "out" / ".unfinished-abc"
    left.mkdir(parents=True)
    (left / "half.tflite").write_bytes(b"half")
    with results_folder(tmp_path / "out", force=False) as folder:
        (folder / "report.json").write_text("whole")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["report.json"]


def test_a_second_run_into_one_folder_is_refused(earlier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = results(earlier)
    with results_folder(earlier, force=False):
        assert code_of("convert", MODEL, "-o", earlier, *FAST) == 2
        assert f"{earlier}: another run is writing there" in check_sentence(capsys.readouterr().err)
    assert results(earlier) == before


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file of this process may have more than 40 kB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_disk")
def test_a_full_disk_leaves_earlier_results_as_they_were(earlier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = results(earlier)
    code = code_of("convert", MODEL, "-o", earlier, *FAST)
    text = capsys.readouterr().err
    assert code in (2, 4), text  # 4 where onnx2tf finds no room first
    check_sentence(text)
    assert results(earlier) == before


@pytest.mark.usefixtures("small_disk")
def test_a_trace_that_finds_no_room_is_no_file(tmp_path: Path, refused: Refused) -> None:
    np.savez(tmp_path / "data.npz", image=np.zeros((4, 1, 16, 16), np.float32))
    assert "File too large" in refused("trace", MODEL, "--data", tmp_path / "data.npz", "-o", tmp_path / "trace.npz", "--threads", "1")


def test_a_report_that_finds_no_room_is_no_file(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "bridge", "report", "render", str(REPORT), "--format", "html"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert "No space left on device" in check_sentence(done.stderr)


def _fill(target: Path, names: list[str], error: OSError | None = None) -> None:
    with results_folder(target, force=False) as folder:
        for name in names:
            (folder / name).write_text(f"new {name}")
        if error is not None:
            raise error


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_no_room_in_the_middle_of_a_run_is_one_sentence(number: int, earlier: Path) -> None:
    before = state(earlier)
    with pytest.raises(UsageError, match="Earlier results are as they were"):
        _fill(earlier, ["report.json"], OSError(number, os.strerror(number)))
    assert state(earlier) == before


def test_where_one_file_cannot_be_replaced_all_come_back(earlier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, rename = state(earlier), Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.parent.name.startswith(".unfinished-") and path.name == "report.html":
            raise PermissionError(errno.EPERM, "Operation not permitted", str(target))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(UsageError, match=r"report\.html: cannot be replaced: Operation not permitted\. Earlier results are as they were"):
        _fill(earlier, ["model.float32.tflite", "new.txt", "report.html", "report.json"])
    assert state(earlier) == before


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "file").write_text("mine")
    assert "the output folder is a file" in refused("convert", MODEL, "-o", tmp_path / "file")
    assert "cannot write there" in refused("convert", MODEL, "-o", tmp_path / "file" / "out")
    assert "cannot be written" in refused("report", "render", REPORT, "--format", "html", "-o", tmp_path / "file" / "report.html")


def test_a_read_only_folder_is_refused(tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mode bits do not bind every user who runs tests, so the system's answer is played."""
    monkeypatch.setattr(Path, "mkdir", _read_only)
    assert "cannot write there: Read-only file system" in refused("convert", MODEL, "-o", tmp_path / "out")


def _read_only(path: Path, *_: object, **__: object) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with contextlib.suppress(KeyboardInterrupt), whole_file(tmp_path / "file") as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert state(tmp_path) == {str(tmp_path / "file"): b"old"}
