"""What is known of constants of mapped files."""

import gc
import mmap
import os
from pathlib import Path

import numpy as np
import pytest

from bridge.quantize.constant_facts import facts_of
from bridge.quantize.forms import Form
from bridge.tflite.pages import SMALLEST

FORM = Form("INT8", (0.5,), (0,))


def mapped(path: Path, access: int = mmap.ACCESS_READ) -> np.ndarray:
    path.write_bytes(bytes(4 * SMALLEST))
    with path.open("r+b") as file:
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=access), np.float32)


def test_facts_of_a_mapped_file_are_those_of_all_that_read_it(tmp_path: Path) -> None:
    value = mapped(tmp_path / "file")
    facts_of(value).peak = 1.0
    assert facts_of(value[:]).peak == 1.0
    assert facts_of(value[1:]).peak is facts_of(value.reshape(2, -1)).peak is None


@pytest.mark.parametrize("kind", ["memory", "may change"])
def test_nothing_is_remembered_of_what_may_change(tmp_path: Path, kind: str) -> None:
    value = np.zeros(SMALLEST, np.float32) if kind == "memory" else mapped(tmp_path / "file", mmap.ACCESS_WRITE)
    facts_of(value).peak = 1.0
    assert facts_of(value).peak is None
    assert facts_of(value).keep(FORM, value.astype(np.int8)) is None


def test_what_is_stored_first_is_kept_on_disk(tmp_path: Path) -> None:
    value, before = mapped(tmp_path / "file"), len(list(Path("/dev/fd").iterdir()))
    data = [np.full((3, SMALLEST), number, np.int8) for number in (1, 2)]
    kept = facts_of(value).keep(FORM, data[0])
    assert kept is not None
    assert facts_of(value).keep(Form("INT8", (0.25,), (0,)), data[1]) is None
    other = facts_of(value[1:]).keep(FORM, data[1])
    assert facts_of(value).stored == (FORM, kept)
    assert other is not None
    assert np.array_equal([kept, other], data)
    assert not kept.flags.writeable
    del value, kept, other
    gc.collect()
    assert len(list(Path("/dev/fd").iterdir())) < before  # the mapping of the first file is gone as well


def test_a_process_that_was_forked_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = facts_of(mapped(tmp_path / "file"))
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert facts.keep(FORM, np.zeros(SMALLEST, np.int8)) is None
