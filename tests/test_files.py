"""Files that are moved, written in pieces and told by their digests."""

import errno
import os
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from bridge import files


def test_a_moved_file_is_all_there_also_between_file_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(source: Path, target: Path) -> Path:
        if Path(source).suffix == ".source":
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        os.replace(source, target)  # noqa: PTH105  # what `Path.replace` is in the test
        return Path(target)

    for name in ("one", "two"):
        source, target = tmp_path / f"{name}.source", tmp_path / name
        source.write_bytes(b"content")
        assert files.move_file(source, target) == sha256(b"content").hexdigest()
        assert target.read_bytes() == b"content"
        assert target.stat().st_mode & 0o777 == 0o644
        monkeypatch.setattr(Path, "replace", refused)


def test_the_digest_of_a_large_file_that_was_written_again_is_another(tmp_path: Path) -> None:
    path = tmp_path / "large"
    for content in (bytes(files.REMEMBERED), b"\1" * files.REMEMBERED):
        files.write_whole(path, content)
        assert files.digest(path) == files.digest(path) == sha256(content).hexdigest()


def test_what_is_written_in_pieces_is_what_was_there(tmp_path: Path) -> None:
    content = np.random.default_rng(0).integers(0, 256, 2 * files.FETCHED + 5, np.uint8)
    with (tmp_path / "file").open("wb") as file:
        file.write(b"head")
        files.write_pieces(file, content[3:])
    assert (tmp_path / "file").read_bytes() == b"head" + content[3:].tobytes()


@pytest.mark.parametrize("left", [0, 10, 1 << 24])
def test_pieces_are_written_over_a_file_that_goes(tmp_path: Path, left: int) -> None:
    over, path = tmp_path / "over", tmp_path / "file"
    over.write_bytes(bytes(left))
    inode, content = over.stat().st_ino, np.random.default_rng(0).integers(0, 256, files.REMEMBERED + 5, np.uint8)
    found = files.write_joined(path, [memoryview(b"head"), content], over=over)
    assert path.read_bytes() == b"head" + content.tobytes()
    assert (path.stat().st_ino, over.exists()) == (inode, False)
    assert found == files.digest(path) == sha256(path.read_bytes()).hexdigest()
