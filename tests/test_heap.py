"""What a process gives back to the system."""

import re
from pathlib import Path

import numpy as np
import pytest

from bridge import heap

MAPPED = Path("/proc/self/smaps")


def resident_code() -> int:
    """kB of the code of libraries in memory."""
    return sum(map(int, re.findall(r" r-xp .*\.so.*\n(?:.*\n)*?Rss: *(\d+) kB", MAPPED.read_text())))


@pytest.mark.skipif(not MAPPED.is_file(), reason="needs Linux")
def test_the_code_of_libraries_leaves_memory_of_our_process_alone_and_comes_back_when_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    value = np.linalg.svd(np.eye(8), compute_uv=False)
    monkeypatch.setattr(heap._Process, "ours", False)
    before = resident_code()
    heap.give_back()
    assert resident_code() > before / 2
    monkeypatch.setattr(heap._Process, "ours", True)
    heap.give_back()
    left = resident_code()
    assert left < before / 2
    assert np.array_equal(np.linalg.svd(np.eye(8), compute_uv=False), value)
    assert resident_code() > left
