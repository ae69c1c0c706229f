"""Zip archives of strangers: what one says it unpacks to, before anything is unpacked, and the members that describe the model."""

import lzma
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from bridge.errors import InputError

MAX_MEMBERS = 100_000
MAX_UNPACKED_BYTES = 4 << 30  # of an archive that is much smaller
MAX_RATIO = 20  # models hardly shrink when they are packed
MAX_DESCRIPTION_BYTES = 256 << 20  # of JSON, which takes ten times as much memory when it is read

# What broken bytes raise in zipfile and in what unpacks for it.
DAMAGE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, OSError, EOFError, ValueError, KeyError, IndexError, NotImplementedError, RuntimeError,
)  # fmt: skip


def is_archive(path: Path) -> bool:
    """Whether a file calls itself a zip archive; a damaged one does as well."""
    try:
        return zipfile.is_zipfile(path)
    except DAMAGE:
        return True


def check_archive(path: Path) -> Sequence[str]:
    """Names of the members of an archive that unpacks to a size in keeping with its own.

    Raises:
        InputError: it does not, or is no archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            unpacked = sum(info.file_size for info in members)
    except DAMAGE as error:
        raise InputError(f"{path}: is no readable archive: {error}.", code="model-unreadable") from error
    if len(members) > MAX_MEMBERS:
        raise InputError(f"{path}: holds {len(members)} files; at most {MAX_MEMBERS} are read.", code="model-unreadable")
    if unpacked > MAX_UNPACKED_BYTES and unpacked > MAX_RATIO * path.stat().st_size:
        raise InputError(
            f"{path}: would unpack to {unpacked / 2**30:.1f} GiB, {unpacked // path.stat().st_size} times its size.", code="model-unreadable"
        )
    return [info.filename for info in members]


def read_description(path: Path, member: str) -> bytes:
    """A member that says what the model is.

    Raises:
        InputError: it is too large, is not there, or damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = archive.getinfo(member).file_size
            if size <= MAX_DESCRIPTION_BYTES:
                return archive.read(member)
    except DAMAGE as error:
        raise InputError(f"{path}: {member!r} is not there or damaged: {error}.", code="model-unreadable") from error
    raise InputError(
        f"{path}: {member!r} would unpack to {size >> 20} MiB; at most {MAX_DESCRIPTION_BYTES >> 20} MiB are read.", code="model-unreadable"
    )
