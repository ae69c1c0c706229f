"""Measured trials on disk: one small file each, written when it is known, so that a run that dies loses only what was under way."""

import json
import logging
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from bridge.errors import UsageError
from bridge.files import write_bytes
from bridge.tune.trial import Spec, Trial

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 1


class TrialCache:
    """Trials by their key.

    Args:
        folder: made if it does not exist; several runs may share it.

    Raises:
        UsageError: the folder cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder}: cannot be used for measured trials: {error.strerror}.", hint="Name another folder.") from error

    def get(self, key: str, spec: Spec) -> Trial | None:
        """The trial as one of `spec`, None where it is not known; a file that is damaged counts as none, and the log says so."""
        path = self._path(key)
        try:
            content = json.loads(path.read_bytes())
            stored = content["trial"]
            if content["schema_version"] != SCHEMA_VERSION or content["key"] != key or content["sha256"] != _sum(stored):
                raise ValueError("its checksum does not fit")
            return replace(Trial.from_json(stored), spec=spec)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("%s: is damaged, the trial is measured again: %s", path, str(error).splitlines()[0])
            return None

    def put(self, key: str, trial: Trial) -> None:
        """Keeps a trial, whole or not at all.

        Raises:
            UsageError: the folder is not writable.
        """
        stored = json.loads(json.dumps(trial.to_json()))
        content = {"schema_version": SCHEMA_VERSION, "key": key, "sha256": _sum(stored), "trial": stored}
        try:
            write_bytes(self._path(key), json.dumps(content).encode())
        except OSError as error:
            raise UsageError(f"{self.folder}: a measured trial cannot be written: {error.strerror}.", hint="Is the disk full?") from error

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"


def _sum(stored: object) -> str:
    return sha256(json.dumps(stored, sort_keys=True).encode()).hexdigest()
