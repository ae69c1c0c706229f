"""What the page about pruned and clustered models shows runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "compression.md"


def test_the_snippet_runs_and_keeps_zeros_and_clusters(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the extra `torch` is not installed")
    (snippet,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    done = subprocess.run([sys.executable, "-c", snippet], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = re.search(r"^(0\.\d\d) zeros, at most (\d+) values$", done.stdout, re.MULTILINE)
    assert found is not None, done.stdout
    assert float(found[1]) >= 0.5
    assert int(found[2]) <= 16
