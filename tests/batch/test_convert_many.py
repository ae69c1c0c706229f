"""Several models in one run: `main(argv)`, real processes, and what is left when one of them dies or the run is ended."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jsonschema
import psutil
import pytest

from bridge.batch import BatchModel, convert_many
from bridge.cli import main
from bridge.errors import UsageError
from bridge.report import read_report
from bridge.report.summary import summary_schema

MODEL = Path(__file__).parents[2] / "models" / "digits_cnn_bn_silu"
HOSTILE = "<img src=x onerror=alert(1)> [a](b) 100%"
SLEEPER = "import os, pathlib, time\ndef samples():\n    pathlib.Path('pid.txt').write_text(str(os.getpid()))\n    time.sleep(600)\n"
KILLED = "import os, signal\ndef samples():\n    print('last words', flush=True)\n    os.kill(os.getpid(), signal.SIGKILL)\n"
PATIENCE_S = 60.0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a model, one of another name that is hostile, and one that is cut off."""
    monkeypatch.chdir(tmp_path)
    for name in ("good", HOSTILE):
        shutil.copy(MODEL / "model.onnx", tmp_path / f"{name}.onnx")
    (tmp_path / "half.onnx").write_bytes((MODEL / "model.onnx").read_bytes()[:70_000])
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    (tmp_path / "killed.py").write_text(KILLED)
    return tmp_path


def test_one_that_fails_is_a_row_and_the_others_are_converted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--no-compare", "--no-recover", "--calibration", str(MODEL / "calibration.npz"), "--gate", "size_ratio<=0.01"]
    with pytest.raises(SystemExit) as ended:
        main(["convert", "good.onnx", "half.onnx", f"{HOSTILE}.onnx", "--jobs", "2", "-o", "out", "--json", *options])
    assert ended.value.code == 2  # a missed gate alone would be 5
    said = capsys.readouterr()
    rows = json.loads(said.out)
    assert [(row["name"], row["exit_code"], row["verdict"]) for row in rows] == [
        ("good", 5, "gate missed"),
        ("half", 2, "bad input"),
        (HOSTILE, 5, "gate missed"),
    ]
    assert "half.onnx" in rows[1]["error"]
    assert "3/3" in said.err
    stored = json.loads((folder / "out" / "summary.json").read_text())
    jsonschema.Draft202012Validator(json.loads(summary_schema())).validate(stored)
    assert stored["models"] == rows
    assert stored["exit_code"] == 2
    report = read_report(folder / "out" / "good" / "report.json")
    assert (rows[0]["quantized_bytes"], rows[0]["size_ratio"]) == (report.cost.quantized_bytes, report.summary.size_ratio)
    _assert_links(folder / "out")


def _assert_links(out: Path) -> None:
    """Of the page, and of the Markdown, to reports that are there; no tag comes from a name."""
    page = (out / "summary.html").read_text()
    links = [part.split('"')[0] for part in page.split('href="')[1:]]
    assert [(out / unquote(link)).is_file() for link in links] == [True, True]
    assert "<img" not in page
    text = (out / "summary.md").read_text()
    assert all(f"({link})" in text for link in links)


def test_a_process_that_is_killed_is_a_row_with_its_last_words(folder: Path) -> None:
    summary = convert_many([BatchModel(Path("good.onnx"), options={"calibration": "killed.py:samples"})], output_dir="out", compare=False)
    (row,) = summary.models
    assert (summary.exit_code, row.exit_code, row.verdict) == (1, 1, "crashed")
    assert "was killed by SIGKILL: last words" in row.error
    assert "last words" in (folder / "out" / "good" / "process.log").read_text()


def test_after_ctrl_c_what_is_done_stays_and_the_summary_says_what_is_not(folder: Path) -> None:
    (folder / "models.toml").write_text(
        '[[models]]\npath = "good.onnx"\n[[models]]\npath = "good.onnx"\nname = "sleeps"\ncalibration = "sleeper.py:samples"\n'
        '[[models]]\npath = "good.onnx"\nname = "waits"\n'
    )
    run = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "bridge",
            "convert",
            "--batch",
            "models.toml",
            "--no-compare",
            "--no-recover",
            "-o",
            "out",
            "--calibration",
            str(MODEL / "calibration.npz"),
        ],
        start_new_session=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    child = _sleeper(folder)
    run.send_signal(signal.SIGINT)
    out, _ = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 130
    assert "1 of 3 models converted, 2 not run" in out
    assert "interrupted" in out
    assert not psutil.pid_exists(child)
    stored = json.loads((folder / "out" / "summary.json").read_text())
    assert [(row["name"], row["exit_code"]) for row in stored["models"]] == [("good", 0), ("sleeps", None), ("waits", None)]
    assert read_report(folder / "out" / "good" / "report.json").verdict.passed
    assert not (folder / "out" / "waits").exists()
    assert not list((folder / "out").glob("*/.unfinished-*"))


def test_a_conversion_ends_with_the_process_that_started_it(folder: Path) -> None:
    code = "import bridge.batch; bridge.batch.convert_many(['good.onnx'], calibration='sleeper.py:samples')"
    run = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    child = _sleeper(folder)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    _until(lambda: not psutil.pid_exists(child))


def _sleeper(folder: Path) -> int:
    """The process whose calibration data never come, once it waits for them."""
    _until(lambda: (folder / "pid.txt").is_file() and bool((folder / "pid.txt").read_text()))
    return int((folder / "pid.txt").read_text())


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"jobs": 0}, "At least one job"),
        ({"gates": ("snr>=3",)}, "snr"),
        ({"recover": ("magic",)}, "magic"),
        ({"observer": "mean"}, "mean"),
        ({"rules": ("defualt",)}, "defualt"),
        ({"example_inputs": (1,)}, "cannot share example_inputs"),
        ({"compairson": False}, "no argument 'compairson'"),
        ({"metrics": (lambda: 1.0,)}, "cannot be given to another process"),
    ],
)
def test_what_cannot_work_for_any_model_starts_no_process(folder: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        convert_many(["good.onnx"], output_dir="out", **options)
    assert not (folder / "out").exists()


def test_a_folder_with_other_files_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="holds other files"):
        convert_many(["good.onnx"], output_dir=folder)


def test_a_folder_that_cannot_be_made_is_one_sentence(folder: Path) -> None:
    (folder / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write there"):
        convert_many(["good.onnx"], output_dir=folder / "file" / "out")


def test_one_model_without_jobs_is_converted_as_ever_and_may_be_named_in_paths(folder: Path) -> None:
    shutil.copy(MODEL / "calibration.npz", folder / "good.npz")
    with pytest.raises(SystemExit) as ended:
        main(["convert", "good.onnx", "--calibration", "{dir}/{stem}.npz", "--no-compare", "--no-recover"])
    assert not ended.value.code
    assert read_report(folder / "good.bridge" / "report.json").calibration.source == "good.npz"
    assert not (folder / "bridge-batch").exists()
