"""What a zip archive says it unpacks to, before anything is unpacked."""

import zipfile
from pathlib import Path

from bridge.errors import InputError

MAX_MEMBERS = 100_000
MAX_UNPACKED_BYTES = 4 << 30  # of an archive that is much smaller
MAX_RATIO = 20  # models hardly shrink when they are packed


def check_archive(path: Path) -> None:
    """Passes an archive that unpacks to a size in keeping with its own.

    Raises:
        InputError: it does not, or is no archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            unpacked = sum(info.file_size for info in members)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise InputError(f"{path}: is no readable archive: {error}.", code="model-unreadable") from error
    if len(members) > MAX_MEMBERS:
        raise InputError(f"{path}: holds {len(members)} files; at most {MAX_MEMBERS} are read.", code="model-unreadable")
    if unpacked > MAX_UNPACKED_BYTES and unpacked > MAX_RATIO * path.stat().st_size:
        raise InputError(
            f"{path}: would unpack to {unpacked / 2**30:.1f} GiB, {unpacked // path.stat().st_size} times its size.", code="model-unreadable"
        )
