"""Files that are run and not kept."""

from pathlib import Path

from bridge.tflite.run_file import RunFile, pages_used_again


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
