"""What docs/custom-ops.md says can be done."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from custom_model import save, scope

from bridge.custom_ops import configured_modules
from bridge.custom_ops.registry import find
from bridge.graph.contrib import EXPANSIONS

__all__ = ["scope"]  # a fixture of every test here

DOCS = (Path(__file__).parents[2] / "docs" / "custom-ops.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", DOCS, flags=re.DOTALL | re.MULTILINE)
SNIPPETS = [text for kind, text in BLOCKS if kind == "python"]


@pytest.mark.parametrize("snippet", SNIPPETS, ids=["decomposition", "tflite"])
def test_the_snippet_registers_and_the_command_takes_it(snippet: str, tmp_path: Path) -> None:
    save(tmp_path)
    (tmp_path / "my_ops.py").write_text(snippet)
    (command,) = [line for kind, text in BLOCKS if not kind for line in text.splitlines() if line.startswith("bridge inspect")]
    done = subprocess.run([sys.executable, "-m", *command.split()], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "custom-op " in done.stdout
    exec(compile(snippet, "docs/custom-ops.md", "exec"), {})  # the snippet is ours
    assert find("my.layers", "Swoosh") is not None


def test_without_registration_the_command_names_both_ways_out(tmp_path: Path) -> None:
    save(tmp_path)
    done = subprocess.run([sys.executable, "-m", "bridge", "inspect", "model.onnx"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "operator Swoosh of domain my.layers at 'act'" in done.stderr
    assert "bridge.register_op" in done.stderr
    assert "--from TENSOR and --to TENSOR" in done.stderr


def test_the_pyproject_example_names_the_module(tmp_path: Path) -> None:
    (example,) = [text for kind, text in BLOCKS if kind == "toml"]
    (tmp_path / "pyproject.toml").write_text(example)
    assert configured_modules(tmp_path) == ("my_ops",)


def test_every_operator_of_onnxruntime_that_is_spelled_out_is_listed() -> None:
    table = DOCS[DOCS.index("| Kind | Operators |") : DOCS.index("Each is tested against")]
    assert set(re.findall(r"\b[A-Z]\w+", table)) - {"Kind", "Operators"} == set(EXPANSIONS)
