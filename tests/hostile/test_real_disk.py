"""Disks that are really full or read-only: a tmpfs of some kilobytes in a mount namespace of its own, where the system gives one."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from door import check_sentence, state

MODEL = Path(__file__).parents[2] / "models" / "digits_cnn_bn_silu" / "model.onnx"
REPORT = Path(__file__).parents[1] / "snapshots" / "report.json"
FAST = ("--no-compare", "--no-recover", "--threads", "1")
EARLIER = {"model.float32.tflite": b"earlier", "report.json": b"earlier", "ranges.json": b"earlier"}

# Mounts, fills, runs the command, copies what is there afterwards to where the test can see it.
SCRIPT = """
set -e
disk=$1 before=$2 after=$3 size=$4 mode=$5; shift 5
mount -t tmpfs -o size=$size tmpfs "$disk"
cp -a "$before/." "$disk"
if [ $mode = ro ]; then mount -o remount,ro "$disk"; fi
set +e
"$@"
code=$?
cp -a "$disk/." "$after"
exit $code
"""

type Disk = Callable[..., "Ended"]


@dataclass(frozen=True)
class Ended:
    """How a command on such a disk ended."""

    code: int
    sentence: str
    left: dict[str, bytes]


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    """Runs a command with a small disk at `tmp_path / "disk"` that holds `EARLIER`."""
    for name in ("disk", "before", "after"):
        (tmp_path / name).mkdir()
    own = ("unshare", "-rm")
    mounts = ("mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(tmp_path / "disk"))
    if shutil.which("unshare") is None or subprocess.run([*own, *mounts], capture_output=True, check=False).returncode:
        pytest.skip("the system lets nobody mount a disk in a namespace of his own")
    for name, content in EARLIER.items():
        (tmp_path / "before" / name).write_bytes(content)

    def run(*arguments: object, size: str, mode: str = "rw") -> Ended:
        folders = [str(tmp_path / name) for name in ("disk", "before", "after")]
        done = subprocess.run(
            [*own, "sh", "-c", SCRIPT, "sh", *folders, size, mode, sys.executable, "-m", "bridge", *map(str, arguments)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert done.returncode != 0
        left = {str(Path(name).relative_to(folders[2])): content for name, content in state(tmp_path / "after").items()}
        return Ended(done.returncode, check_sentence(done.stderr), {name: content for name, content in left.items() if name != "onnx2tf.log"})

    return run


# 3 pages hold what was there before; the results take 290 kB.
@pytest.mark.parametrize("size", ["12k", "160k"])
def test_a_full_disk_leaves_earlier_results_as_they_were(size: str, disk: Disk, tmp_path: Path) -> None:
    ended = disk("convert", MODEL, "-o", tmp_path / "disk", *FAST, size=size)
    assert ended.code in (2, 4), ended.sentence  # 4 where onnx2tf finds no room first
    assert "No space left on device" in ended.sentence or ended.code == 4
    assert ended.left == EARLIER


@pytest.fixture
def trace(tmp_path: Path) -> tuple[object, ...]:
    np.savez(tmp_path / "data.npz", image=np.zeros((4, 1, 16, 16), np.float32))
    return ("trace", MODEL, "--data", tmp_path / "data.npz", "-o", tmp_path / "disk" / "trace.npz", "--threads", "1")


@pytest.mark.parametrize(("size", "mode", "said"), [("24k", "rw", "No space left on device"), ("24k", "ro", "Read-only file system")])
def test_a_file_that_finds_no_room_is_no_file(size: str, mode: str, said: str, disk: Disk, trace: tuple[object, ...], tmp_path: Path) -> None:
    for arguments in (trace, ("report", "render", REPORT, "--format", "html", "-o", tmp_path / "disk" / "report.html")):
        ended = disk(*arguments, size=size, mode=mode)
        assert ended.code == 2
        assert said in ended.sentence
        assert ended.left == EARLIER


def test_a_read_only_disk_is_refused_before_the_work(disk: Disk, tmp_path: Path) -> None:
    target = tmp_path / "disk"
    ended = disk("convert", MODEL, "-o", target, *FAST, size="64k", mode="ro")
    assert ended.code == 2
    assert f"{target}: cannot write there: Read-only file system" in ended.sentence
    assert ended.left == EARLIER
