"""What the quantizer is given beside precisions: ranges and corrections under a name, in files of their own."""

import functools
import json
import shutil
import tempfile
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote, unquote

import numpy as np
from msgspec import Struct, field
from msgspec.structs import replace

from bridge.calibrate import read_ranges, write_ranges
from bridge.errors import InputError
from bridge.quantize import Corrections
from bridge.types import Ranges

RANGES, CORRECTIONS = "ranges.json", "corrections.npz"
KINDS = ("biases", "weights", "weight_scales")  # of corrections


class Setting(Struct, frozen=True, eq=False, dict=True):
    """Ranges and corrections, for example those of `min_max`, or of `min_max+recovery`.

    Attributes:
        name: how trials ask for it; unique among those of one model.
        ranges: of the float file's activations, None where none may become an integer.
        corrections: from accuracy recovery.
    """

    name: str
    ranges: Ranges | None
    corrections: Corrections = field(default_factory=Corrections)

    @functools.cached_property
    def digest(self) -> str:
        """sha256 of what the quantizer sees of it: not of its name, and not of where the ranges come from."""
        total = sha256()
        if self.ranges is not None:
            spans = {name: (span.minimum, span.maximum) for name, span in self.ranges.tensors.items()}
            choices = {name: repr(choice) for name, choice in self.ranges.choices.items()}
            total.update(json.dumps([self.ranges.model_sha256, spans, choices], sort_keys=True).encode())
        for name, value in sorted(_arrays(self.corrections).items()):
            total.update(repr((name, value.dtype.str, value.shape)).encode())
            total.update(np.ascontiguousarray(value))
        return total.hexdigest()


def write_setting(folder: Path, setting: Setting) -> None:
    """Puts a setting beside others, whole or not at all; one that is there already is left as it is.

    Raises:
        OSError: the folder is not writable.
    """
    target = folder / quote(setting.name, safe="+")
    if target.is_dir():
        return
    folder.mkdir(exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".setting-"))
    try:
        if setting.ranges is not None:
            write_ranges(made / RANGES, setting.ranges)
        with (made / CORRECTIONS).open("wb") as file:
            np.savez(file, allow_pickle=False, **_arrays(setting.corrections))
        made.replace(target)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def read_setting(folder: Path, name: str, *, model_sha256: str) -> Setting:
    """The setting of that name.

    Raises:
        InputError: there is none, or its ranges belong to another float file.
    """
    here = folder / quote(name, safe="+")
    if not here.is_dir():
        known = ", ".join(repr(one) for one in setting_names(folder))
        raise InputError(f"{folder}: there is no setting {name!r}. Received: {known or 'none'}.")
    ranges = read_ranges(here / RANGES, model_sha256=model_sha256) if (here / RANGES).is_file() else None
    with np.load(here / CORRECTIONS, allow_pickle=False) as stored:
        found: dict[str, dict[int, np.ndarray]] = {kind: {} for kind in KINDS}
        for key in stored.files:
            kind, _, operator = key.partition(".")
            found[kind][int(operator)] = stored[key]
    return Setting(name, ranges, Corrections(**{kind: MappingProxyType(arrays) for kind, arrays in found.items()}))


def setting_names(folder: Path) -> tuple[str, ...]:
    """Those that are there."""
    return tuple(sorted(unquote(path.name) for path in folder.iterdir())) if folder.is_dir() else ()


def with_owner(setting: Setting, model_sha256: str) -> Setting:
    """The setting with its ranges marked as those of a float file; ranges that name one are left as they are."""
    if setting.ranges is None or setting.ranges.model_sha256:
        return setting
    return replace(setting, ranges=replace(setting.ranges, model_sha256=model_sha256))


def _arrays(corrections: Corrections) -> dict[str, np.ndarray]:
    return {f"{kind}.{operator}": value for kind in KINDS for operator, value in getattr(corrections, kind).items()}
