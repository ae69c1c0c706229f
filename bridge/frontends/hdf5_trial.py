"""HDF5 files of strangers, read once in a process of their own: one flipped bit can send the HDF5 library round in a circle for ever."""

import contextlib
import io
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import h5py

from bridge import own_process
from bridge.errors import InputError
from bridge.frontends.archives import DAMAGE, is_archive

TIMEOUT_S = 20.0
ATTRIBUTES = ("keras_version", "backend", "model_config", "layer_names", "weight_names")  # Keras asks for them also where they cannot be listed
REFUSED = (*DAMAGE, TypeError)
BYTES_PER_S = 20 << 20  # what a slow disk gives; a large file has more time


def try_file(path: Path) -> None:
    """Passes an `.h5` file, or the ones in a `.keras` archive, that the HDF5 library reads to its end, be it with an error, which Keras says again.

    Raises:
        InputError: the library crashes or does not end, or cannot be tried.
    """
    child = own_process.started(__name__, str(path))
    timeout = TIMEOUT_S + path.stat().st_size / BYTES_PER_S
    try:
        code = child.wait(timeout)
    except subprocess.TimeoutExpired:
        how = f"the HDF5 library did not come to an end within {timeout:.0f} s"
    else:
        if not code:
            return
        how = f"the HDF5 library crashes ({signal.Signals(-code).name})" if code < 0 else f"the process that tries it ended with exit code {code}"
    finally:
        child.kill()
        child.wait()
    raise InputError(f"{path}: cannot be read: {how}.", hint="Save the model again with Keras.", code="model-unreadable")


def _files(path: Path) -> Iterator[Path | BinaryIO]:
    if not is_archive(path):
        yield path
        return
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".h5"):
                yield io.BytesIO(archive.read(name))


def _read(name: str, part: h5py.Group | h5py.Dataset) -> None:
    """Everything at a place, piece by piece; what the library refuses, Keras is refused as well."""
    del name
    attributes = set(ATTRIBUTES)
    with contextlib.suppress(*REFUSED):
        attributes |= set(part.attrs)
    for attribute in attributes:
        with contextlib.suppress(*REFUSED):
            part.attrs[attribute]
    if isinstance(part, h5py.Dataset):
        with contextlib.suppress(*REFUSED):
            for piece in part.iter_chunks() if part.chunks else [()]:
                part[piece]


def main(path: Path) -> None:
    """The process."""
    own_process.limit_this()
    with contextlib.suppress(*REFUSED):  # a damaged archive
        for file in _files(path):
            with contextlib.suppress(*REFUSED), h5py.File(file) as opened:
                _read("", opened)
                opened.visititems(_read)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
