"""What the page about training repositories shows runs, from top to bottom."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "training.md"


def test_the_snippets_run_one_after_the_other(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the extra `torch` is not installed")
    pytest.importorskip("tensorflow", reason="the extra `tensorflow` is not installed")
    snippets = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    assert len(snippets) == 4
    done = subprocess.run([sys.executable, "-c", "\n".join(snippets)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "The model is quantized" in done.stdout
    assert (tmp_path / "artifacts" / "report.json").exists()
