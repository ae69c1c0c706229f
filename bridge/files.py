"""Files written whole or not at all, and the folder that a command writes its results into."""

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import IO

import numpy as np

from bridge import heap
from bridge.errors import UsageError

MARKERS = (
    "report.json",
    "onnx2tf.log",
    "process.log",
)  # a folder with one of them holds results of ours, if only of a failed run, and may be written again
REMEMBERED = 1 << 23  # bytes of a file whose digest takes 5 ms
KNOWN = 8  # digests that are remembered
PIECE = 1 << 20  # bytes that are read of a large file at a time
FETCHED = 4 << 20  # bytes of what is mapped that are fetched at a time
_known: dict[tuple[int, ...], str] = {}  # version of a file -> its sha256
UNFINISHED = ".unfinished-"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL)  # of network file systems; two runs at once are on their own there


@contextlib.contextmanager
def whole_file(path: Path, *, over: Path | None = None) -> Iterator[IO[bytes]]:
    """A file to write to that takes the place of `path` when the block ends without an error, and only then.

    Args:
        path: of the file.
        over: one of the same file system that nobody needs any more, and that goes: pages that are there are written three times as fast as new ones.

    Raises:
        OSError: the folder is not writable.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.") if over is None else (os.open(over, os.O_WRONLY), str(over))
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.truncate()
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """Writes a file whole or not at all.

    Raises:
        OSError: the folder is not writable.
    """
    with whole_file(path) as file:
        file.write(content)


def write_bytes(path: Path, content: bytes | memoryview) -> str:
    """Like `write_whole`; returns the sha256.

    Raises:
        OSError: the folder is not writable.
    """
    write_whole(path, content)
    return sha256(content).hexdigest()


def write_joined(path: Path, pieces: Iterable[memoryview | np.ndarray], *, over: Path | None = None) -> str:
    """Like `write_bytes`, of pieces that may be mapped.

    Args:
        path: of the file.
        pieces: uint8 of one axis.
        over: as for `whole_file`.

    Raises:
        OSError: the folder is not writable.
    """
    total = sha256()
    with whole_file(path, over=over) as file:
        for piece in pieces:
            for part in _fetched(np.frombuffer(piece, np.uint8)):
                total.update(part)
                file.write(part)
    _remember(path.stat(), total.hexdigest())
    return total.hexdigest()


def copy_file(source: Path, target: Path) -> str:
    """Copies a file in pieces, whole or not at all, returns its sha256.

    Raises:
        OSError: one of them cannot be read or written.
    """
    total = sha256()
    with source.open("rb") as read, whole_file(target) as written:
        while piece := read.read(PIECE):
            total.update(piece)
            written.write(piece)
    return total.hexdigest()


def move_file(source: Path, target: Path) -> str:
    """Moves a file, whole or not at all, within a file system without copying it; returns its sha256.

    Raises:
        OSError: one of them cannot be read or written.
    """
    found = digest(source)
    source.chmod(0o644)
    try:
        source.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return copy_file(source, target)
    return found


def write_pieces(file: IO[bytes], content: np.ndarray) -> None:
    """Writes bytes that may be mapped, which are fetched many pages at a time.

    Args:
        file: at the place to write to.
        content: uint8 of one axis.
    """
    for piece in _fetched(content):
        file.write(piece)


def _fetched(content: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, content.size, FETCHED):
        piece = content[start : start + FETCHED]
        if piece.size >= PIECE:
            heap.fetch(piece.ctypes.data, piece.size)
        yield piece


def digest(path: Path) -> str:
    """sha256 of a file; that of a large one is remembered as long as the file stays as it is."""
    now = path.stat()
    if now.st_size < REMEMBERED:
        return _digest(path)
    return _known.get(_version(now)) or _remember(now, _digest(path))


def _version(now: os.stat_result) -> tuple[int, ...]:
    return (now.st_dev, now.st_ino, now.st_mtime_ns, now.st_size)  # not the path: a file that was moved is the same


def _remember(now: os.stat_result, found: str) -> str:
    if now.st_size >= REMEMBERED:
        _known[_version(now)] = found
        for old in list(_known)[:-KNOWN]:
            _known.pop(old, None)
    return found


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        total = sha256()
        while piece := file.read(PIECE):
            total.update(piece)
    return total.hexdigest()


def check_results_folder(target: Path, *, force: bool, markers: Sequence[str]) -> None:
    """Refuses a folder for results that would mix them with other things.

    Args:
        target: may be missing.
        force: also take a folder that holds other things than results of ours.
        markers: files of which a folder with results of ours has one.

    Raises:
        UsageError: `target` is no folder, or holds other files.
    """
    if target.exists() and not target.is_dir():
        raise UsageError(f"{target}: the output folder is a file.", hint="Name another folder with -o.", code="output-folder")
    if not force and target.is_dir() and any(target.iterdir()) and not any((target / marker).is_file() for marker in markers):
        raise UsageError(
            f"{target}: the output folder holds other files.",
            hint="Name another folder with -o, or add --force to write there.",
            code="output-folder",
        )


@contextlib.contextmanager
def results_folder(target: Path, *, force: bool) -> Iterator[Path]:
    """A private folder to work in; what is in it moves to `target` when the block ends without an error, all of it or nothing.

    Args:
        target: created if it does not exist; files of the same names in it are replaced.
        force: also write into a folder that holds other things than results of ours.

    Raises:
        UsageError: `target` cannot be written to, is no folder, holds other files, or another run is writing there; or the disk is full.
    """
    if target.exists() and not target.is_dir():
        raise UsageError(f"{target}: the output folder is a file.", hint="Name another folder with -o.", code="output-folder")
    created = not target.exists()
    with contextlib.ExitStack() as stack:
        try:
            target.mkdir(parents=True, exist_ok=True)
            stack.enter_context(_locked(target))
            _remove_unfinished(target)
            check_results_folder(target, force=force, markers=MARKERS)
            folder = Path(tempfile.mkdtemp(dir=target, prefix=UNFINISHED))
        except OSError as error:
            raise UsageError(f"{target}: cannot write there: {error.strerror}.", hint="Name another folder with -o.", code="output-folder") from error
        try:
            yield folder
            _move_all(folder, target)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            where = error.filename or target
            raise UsageError(
                f"{where}: cannot be written: {error.strerror}. Earlier results are as they were.", hint="Make room.", code="output-folder"
            ) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            if created:
                with contextlib.suppress(OSError):
                    target.rmdir()  # only an empty folder goes


@contextlib.contextmanager
def _locked(target: Path) -> Iterator[None]:
    """One run at a time; the system takes the lock back however a run ends."""
    handle = os.open(target, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"{target}: another run is writing there.", hint="Wait for it, or name another folder with -o.", code="output-folder"
            ) from error
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        yield
    finally:
        os.close(handle)


def _remove_unfinished(target: Path) -> None:
    """What a run left behind that was killed; nobody works in it, or the folder would be locked."""
    for left in target.glob(f"{UNFINISHED}*"):
        shutil.rmtree(left, ignore_errors=True)


def _move_all(folder: Path, target: Path) -> None:
    """New files take the places of old ones; where one cannot, all old ones come back."""
    new = sorted(folder.iterdir())
    old = Path(tempfile.mkdtemp(dir=folder, prefix="old-"))
    moved: list[Path] = []
    try:
        for path in new:
            place = target / path.name
            if place.exists() or place.is_symlink():
                place.rename(old / path.name)
            moved.append(path)
            path.rename(place)
    except BaseException as error:
        for path in reversed(moved):
            place = target / path.name
            with contextlib.suppress(OSError):
                place.rename(path)
            with contextlib.suppress(OSError):
                (old / path.name).rename(place)
        if not isinstance(error, OSError):
            raise
        raise UsageError(
            f"{error.filename}: cannot be replaced: {error.strerror}. Earlier results are as they were.",
            hint="Name another folder with -o.",
            code="output-folder",
        ) from error
