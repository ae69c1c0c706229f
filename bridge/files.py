"""Files written whole or not at all, and the folder that a command writes its results into."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import IO

from bridge.errors import UsageError

MARKERS = (
    "report.json",
    "onnx2tf.log",
    "process.log",
)  # a folder with one of them holds results of ours, if only of a failed run, and may be written again


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to that takes the place of `path` when the block ends without an error, and only then.

    Raises:
        OSError: the folder is not writable.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_bytes(path: Path, content: bytes | memoryview) -> str:
    """Writes a file whole or not at all, returns its sha256.

    Raises:
        OSError: the folder is not writable.
    """
    with whole_file(path) as file:
        file.write(content)
    return sha256(content).hexdigest()


def digest(path: Path) -> str:
    """sha256 of a file, read in pieces."""
    with path.open("rb") as file:
        total = sha256()
        while piece := file.read(1 << 20):
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
        raise UsageError(f"{target}: the output folder is a file.", hint="Name another folder with -o.")
    if not force and target.is_dir() and any(target.iterdir()) and not any((target / marker).is_file() for marker in MARKERS):
        raise UsageError(f"{target}: the output folder holds other files.", hint="Name another folder with -o, or add --force to write there.")


@contextlib.contextmanager
def results_folder(target: Path, *, force: bool) -> Iterator[Path]:
    """A private folder to work in; what is in it moves to `target` when the block ends without an error, and only then.

    Args:
        target: created if it does not exist; files of the same names in it are replaced.
        force: also write into a folder that holds other things than results of ours.

    Raises:
        UsageError: `target` cannot be written to, is no folder, or holds other files.
    """
    check_results_folder(target, force=force, markers=MARKERS)
    created = not target.exists()
    try:
        target.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=target, prefix=".unfinished-"))
    except OSError as error:
        raise UsageError(f"{target}: cannot write there: {error.strerror}.", hint="Name another folder with -o.") from error
    try:
        yield folder
        for path in sorted(folder.iterdir()):
            if (target / path.name).is_dir():
                shutil.rmtree(target / path.name)  # a folder replaces none that holds files
            path.replace(target / path.name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if created:
            with contextlib.suppress(OSError):
                target.rmdir()  # only an empty folder goes
