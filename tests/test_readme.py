"""What the README says can be done."""

import dataclasses
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from bridge import configuration
from bridge.calibrate.preprocessing import Preprocessing, find_preprocessing
from bridge.cli_convert import convert
from bridge.report.gates import parse

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
COMMANDS = [line.split("#")[0].strip() for kind, text in BLOCKS if not kind for line in text.splitlines() if line.startswith("bridge ")]


def test_the_python_example_runs(tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to(ROOT / "models")
    (example,) = (text for kind, text in BLOCKS if kind == "python")
    done = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "model.static_wi8_ai8.tflite" in done.stdout


def test_the_first_command_converts_a_model_of_the_repository(tmp_path: Path) -> None:
    first = next(line for kind, text in BLOCKS if not kind for line in text.splitlines())
    install, _, command = first.partition(" && uv run bridge ")
    assert install == "pip install uv"
    done = subprocess.run(
        [sys.executable, "-m", "bridge", *shlex.split(command), "-o", str(tmp_path / "out")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "report.html" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_exists(command: str) -> None:
    words = shlex.split(command)[1:]
    name = words[:2] if words[0] == "rules" else words[:1]
    helped = subprocess.run([sys.executable, "-m", "bridge", *name, "--help"], capture_output=True, text=True, check=True).stdout
    assert all(word in helped for word in words if word.startswith("--"))


def test_every_link_leads_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert targets
    assert all((ROOT / target).exists() for target in targets if "://" not in target)


def test_the_rule_file_example_is_valid(tmp_path: Path) -> None:
    (example,) = (text for kind, text in BLOCKS if kind == "toml" and "[[rules]]" in text)
    (tmp_path / "head.toml").write_text(example)
    subprocess.run([sys.executable, "-m", "bridge", "rules", "check", str(tmp_path / "head.toml")], check=True)


def test_the_preprocessing_example_is_valid_and_names_every_key(tmp_path: Path) -> None:
    (example,) = (text for kind, text in BLOCKS if kind == "toml" and "[[rules]]" not in text and "[tool.bridge]" not in text)
    path = tmp_path / "mine.toml"
    path.write_text(example)
    assert find_preprocessing(path).size == (192, 256)
    named = set(re.findall(r"^(\w+) = |`(\w+) = ", example, re.MULTILINE))
    assert {first or second for first, second in named} >= {field.name for field in dataclasses.fields(Preprocessing)} - {"padding"}


def test_the_settings_example_is_valid(tmp_path: Path) -> None:
    (example,) = (text for kind, text in BLOCKS if kind == "toml" and "[tool.bridge]" in text)
    (tmp_path / "pyproject.toml").write_text(example)
    found = configuration.read(tmp_path)
    assert found is not None
    for gate in configuration.defaults(found, convert)["gate"]:  # type: ignore[attr-defined]  # a list, as the option takes it
        parse(gate)
