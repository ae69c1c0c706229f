"""The commands for a fresh machine that README.md begins with; tests/test_all_pages.py has everything else on it."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_first_command_converts_a_model_of_the_repository(tmp_path: Path) -> None:
    (first, second), *_ = (text.splitlines() for text in re.findall(r"^```\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE))
    install, _, command = first.partition(" && uv run bridge ")
    assert install == "pip install uv"
    assert second == "pip install uv && uv run pytest"
    done = subprocess.run(
        [sys.executable, "-m", "bridge", *shlex.split(command), "-o", str(tmp_path / "out")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "report.html" in done.stdout


def test_the_readme_is_a_front_door() -> None:
    assert len(README.splitlines()) <= 150
