"""The commands of the page about continuous integration, in a repository laid out as it says."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
MODEL = ROOT / "models" / "digits_cnn_bn_silu"
FOUND = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
BLOCKS = {kind: [text for other, text in FOUND if other == kind] for kind in ("toml", "yaml", "python", "")}


pytestmark = pytest.mark.slow

SAMPLES = 40  # of each file: enough to be quick


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The settings and the files of the page, and the report of its first command."""
    folder = tmp_path_factory.mktemp("repository")
    (folder / "data").mkdir()
    (folder / "rules").mkdir()
    (folder / "model.onnx").symlink_to(MODEL / "model.onnx")
    for name in ("calibration.npz", "evaluation.npz"):
        with np.load(MODEL / name) as data:
            np.savez(folder / "data" / name, **{key: value[:SAMPLES] for key, value in data.items()})
    (folder / "rules" / "mine.toml").symlink_to(ROOT / "exclusion_rules" / "outputs.toml")
    (folder / "pyproject.toml").write_text(*BLOCKS["toml"])
    (first,) = BLOCKS[""]
    assert run(first.strip(), folder).returncode == 0
    return folder


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A line of shell, with `bridge` being the one under test."""
    environment = {**os.environ, "GITHUB_STEP_SUMMARY": str(folder / "summary.md")}
    line = re.sub(r"^bridge ", f"{shlex.quote(sys.executable)} -m bridge ", command)
    return subprocess.run(["bash", "-euc", line], cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_workflow_passes_for_the_same_model_and_writes_its_summary(repository: Path) -> None:
    commands = re.findall(r"^ +run: (.*)$", BLOCKS["yaml"][0], re.MULTILINE)
    assert len(commands) == 4
    for command in commands[1:]:
        done = run(command, repository)
        assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((repository / "out" / "report.json").read_text())["verdict"]["passed"] is True
    assert (repository / "out" / "junit.xml").exists()
    summary = (repository / "summary.md").read_text()
    assert "passed" in summary.splitlines()[0]
    assert "0 measures worse than the tolerance, 0 nodes in another precision" in summary


def test_what_is_worse_than_the_committed_report_fails_the_workflow(repository: Path, tmp_path: Path) -> None:
    better = json.loads((repository / "quality" / "report.json").read_text())
    better["outputs"][0]["sqnr_db"] += 3
    (tmp_path / "better.json").write_text(json.dumps(better))
    done = run(f"bridge report gate quality/report.json --baseline {tmp_path}/better.json --github", repository)
    assert done.returncode == 5
    assert "::error title=Gate not met::baseline: SQNR lost by an output <= 0.5 dB: 3 at " in done.stdout


def test_the_hooks_pass_and_fail(repository: Path, tmp_path: Path) -> None:
    gates, rules = re.findall(r"entry: (.*)$", BLOCKS["yaml"][2], re.MULTILINE)
    assert run(gates, repository).returncode == 0
    assert run(f"{gates} --gate 'sqnr>=200'", repository).returncode == 5
    assert run(f"{rules} rules/mine.toml", repository).returncode == 0
    (tmp_path / "bad.toml").write_text("[[rules]]\n")
    assert run(f"{rules} {tmp_path}/bad.toml", repository).returncode == 2


def test_the_test_passes(repository: Path) -> None:
    (repository / "test_int8.py").write_text(*BLOCKS["python"])
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "test_int8.py"], cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
