"""The fuzzer itself: what it damages does not harm us, and what harms us it finds."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fuzz_workers import Job, run_all

from bridge.errors import InputError


def test_500_damaged_files_end_in_an_answer_or_a_sentence() -> None:
    done = subprocess.run([sys.executable, str(Path(__file__).parent), "--inputs", "500", "--seed", "7"], capture_output=True, text=True, check=False)
    result = json.loads(done.stdout)
    assert result["bad"] == []
    assert done.returncode == 0
    assert result["inputs"] >= 490
    for loader, found in result["counts"].items():
        assert found["accepted"] > 0, loader  # some damage is none
        assert found["refused with 2"] > found["accepted"], loader


@pytest.mark.parametrize(("loader", "package"), [("keras", "tensorflow"), ("torch", "torch")])
def test_damaged_files_of_a_framework_end_in_an_answer_or_a_sentence(loader: str, package: str) -> None:
    pytest.importorskip(package, reason=f"the extra `{package}` is not installed")
    command = [sys.executable, str(Path(__file__).parent), "--inputs", "20", "--seed", "1", "--loaders", loader, "--workers", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    result = json.loads(done.stdout)
    assert result["bad"] == []
    assert done.returncode == 0
    assert result["counts"][loader]["refused with 2"] >= 10


def _behave(job: Job, _folder: Path) -> dict[str, object]:
    loader, _ = job
    if loader == "crash":
        os.abort()
    if loader == "hang":
        time.sleep(60)
    if loader == "greedy":
        bytearray(4 << 30)
    return {"outcome": loader}


@pytest.mark.parametrize(("loader", "outcome"), [("fine", "fine"), ("crash", "crash"), ("hang", "hang"), ("greedy", "crash")])
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # forks of a process with threads, which do nothing that needs them
def test_a_crash_a_hang_and_greed_cost_one_input(loader: str, outcome: str, tmp_path: Path) -> None:
    jobs = [("fine", 0), (loader, 1), ("fine", 2)]
    found = {job: result["outcome"] for job, result, _ in run_all(jobs, _behave, folder=tmp_path, workers=1, seconds=1.0, memory_mb=256)}
    assert found == {("fine", 0): "fine", (loader, 1): outcome, ("fine", 2): "fine"}


def test_an_accident_is_no_refusal() -> None:
    from fuzz_targets import run

    def accident() -> None:
        raise KeyError("x")

    def refusal() -> None:
        raise InputError("m.onnx: this is damaged.")

    assert run(accident)["outcome"] == "traceback"
    assert run(refusal)["outcome"] == "refused with 2"


def test_an_archive_without_members_can_be_damaged() -> None:
    from fuzz_mutations import archive

    empty = b"PK\5\6" + bytes(18)
    assert len(archive(empty, random.Random(1))) == len(empty)
