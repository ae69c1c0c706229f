"""Files that are run and not kept."""

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from bridge import files
from bridge.tflite import run_file
from bridge.tflite.pages import SMALLEST, changed
from bridge.tflite.run_file import RunFile, pages_used_again

RNG = np.random.default_rng(0)


def content(file: RunFile) -> bytes:
    return Path(file.path).read_bytes()


def same_file(one: RunFile, inode: int) -> bool:
    return Path(one.path).stat().st_ino == inode


def test_a_file_is_written_over_one_that_is_gone() -> None:
    with pages_used_again():
        first = RunFile([(0, b"longer than the next")])
        inode = Path(first.path).stat().st_ino
        del first
        second = RunFile([(0, b"short"), (5, b" one")])
        assert same_file(second, inode)
        assert (content(second), second.size) == (b"short one", 9)
        third = RunFile([(0, b"beside it")])
        assert not same_file(third, inode)
        assert content(second) == b"short one"


def test_bytes_that_are_mapped_stay_when_the_file_is_gone() -> None:
    with pages_used_again():
        first = RunFile([(0, b"mapped")])
        mapped = first.mapped()
        del first
        second = RunFile([(0, b"others")])
        assert (mapped[:], content(second)) == (b"mapped", b"others")


def test_nothing_is_left_open_at_the_end() -> None:
    before = len(list(Path("/dev/fd").iterdir()))
    with pages_used_again():
        for text in (b"one", b"two"):
            RunFile([(0, text)])
    RunFile([(0, b"outside")])
    assert len(list(Path("/dev/fd").iterdir())) == before


def mapped(folder: Path, *sizes: int) -> list[np.ndarray]:
    """Constants in a file, mapped to be written to."""
    with (folder / "constants").open("w+b") as file:
        file.write(RNG.bytes(sum(sizes)))
        file.flush()
        content = mmap.mmap(file.fileno(), 0)
    return [np.frombuffer(content, np.uint8, size, sum(sizes[:place])) for place, size in enumerate(sizes)]


def arranged(constants: Sequence[np.ndarray], *, head: bytes = b"head", room: int = 8, alone: bool = False) -> tuple[RunFile, list[np.ndarray]]:
    """A file, and what it holds where the head was told that its constants are."""
    told: list[int] = []

    def written(places: Sequence[int]) -> memoryview:
        told[:] = places
        return memoryview(head)

    file = RunFile.arranged(constants, room, written, alone=alone)
    found = content(file)
    assert found[: len(head)] == head
    return file, [np.frombuffer(found, np.uint8, one.size, place) for place, one in zip(told, constants, strict=True)]


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of what is written."""
    found: list[int] = []

    def written(file: IO[bytes], piece: np.ndarray) -> None:
        found.append(piece.size)
        files.write_pieces(file, piece)

    monkeypatch.setattr(run_file, "write_pieces", written)
    return found


def test_constants_of_a_mapped_file_are_written_once(tmp_path: Path, sizes: list[int]) -> None:
    one, two, three = mapped(tmp_path, SMALLEST, 100, 2 * SMALLEST)
    with pages_used_again():
        for constants, written in (([one, two], {4, SMALLEST, 100}), ([two, three, one], {4, 100, 2 * SMALLEST}), ([one, three], {4})):
            sizes.clear()
            file, found = arranged(constants)
            assert all(map(np.array_equal, found, constants))
            assert set(sizes) == written
            assert file.size == 4 + sum(constant.size for constant in constants)
            del file


def test_constants_that_are_changed_are_written_again(tmp_path: Path) -> None:
    (constant,) = mapped(tmp_path, SMALLEST)
    with pages_used_again():
        arranged([constant])
        constant[5] += 1
        changed(constant)
        assert np.array_equal(arranged([constant])[1][0], constant)


def test_constants_of_memory_and_of_mappings_that_are_gone_are_written(tmp_path: Path) -> None:
    with pages_used_again():
        for _ in range(3):
            for (constant,) in (mapped(tmp_path, SMALLEST), [RNG.integers(0, 256, SMALLEST, np.uint8)]):
                assert np.array_equal(arranged([constant])[1][0], constant)
                del constant


def test_a_head_may_be_larger_than_it_was_said_to_be(tmp_path: Path) -> None:
    (constant,) = mapped(tmp_path, SMALLEST)
    with pages_used_again():
        for length in (1, 10_000, 100, 100_000):
            assert np.array_equal(arranged([constant], head=RNG.bytes(length))[1][0], constant)


def test_files_at_the_same_time_are_apart_and_one_that_is_mapped_is_alone(tmp_path: Path) -> None:
    one, two = mapped(tmp_path, SMALLEST, SMALLEST)
    with pages_used_again():
        arranged([one, two])
        first, found = arranged([one])
        second, others = arranged([two, one], head=b"more")
        assert (first.path != second.path, content(first)[:4]) == (True, b"head")
        assert all(map(np.array_equal, [*found, *others], [one, two, one]))
        del first, second
        assert len(arranged([one], alone=True)[0].mapped()) < 2 * SMALLEST
