"""`ranges.json`: calibrated ranges on disk, so that a later run need not calibrate again."""

from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from bridge.errors import InputError
from bridge.files import write_bytes
from bridge.indented_json import indented
from bridge.observer_names import DEFAULT_OBSERVER, PATTERN
from bridge.types import Diagnostic, RangeChoice, Ranges, Spread, TensorRange

SCHEMA_VERSION: Final = 1
MAX_BYTES = 256 << 20


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class _Warning(_Model):
    code: str
    severity: Literal["info", "warning", "error"]
    message: str
    hint: str = ""
    node: str | None = None

    @model_validator(mode="after")
    def known(self) -> Self:
        """Refuses codes that bridge/findings does not have."""
        self.diagnostic()
        return self

    def diagnostic(self) -> Diagnostic:
        """The finding that it is."""
        return Diagnostic(self.code, self.severity, self.message, self.hint, self.node)


class _Choice(_Model):
    observer: Annotated[str, Field(pattern=PATTERN)] | None = None
    fixed: tuple[FiniteFloat, FiniteFloat] | None = None
    clip: tuple[FiniteFloat, FiniteFloat] | None = None


class _File(_Model):
    schema_version: Literal[1]
    model_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    samples: Annotated[int, Field(ge=0)]
    source: str
    warnings: tuple[_Warning, ...] = ()
    tensors: dict[str, tuple[FiniteFloat, FiniteFloat]]
    own_sqnr_db: dict[str, FiniteFloat] | None = None
    spreads: dict[str, tuple[Annotated[FiniteFloat, Field(ge=0)], Annotated[FiniteFloat, Field(ge=0)]]] | None = None
    observer: Annotated[str, Field(pattern=PATTERN)] = DEFAULT_OBSERVER  # files without it are older than the choice
    choices: dict[str, _Choice] = {}


def write_ranges(path: Path, ranges: Ranges) -> str:
    """Writes the file whole or not at all, returns its sha256; the same ranges give the same bytes.

    Raises:
        OSError: the folder is not writable.
    """
    content = _File(
        schema_version=SCHEMA_VERSION,
        model_sha256=ranges.model_sha256,
        samples=ranges.samples,
        source=ranges.source,
        warnings=tuple(_Warning(code=w.code, severity=w.severity, message=w.message, hint=w.hint, node=w.node) for w in ranges.warnings),
        tensors={name: (extent.minimum, extent.maximum) for name, extent in ranges.tensors.items()},
        own_sqnr_db=None if ranges.own_sqnr_db is None else dict(ranges.own_sqnr_db),
        spreads=None if ranges.spreads is None else {name: (one.half, one.most) for name, one in ranges.spreads.items()},
        observer=ranges.observer,
        choices={name: _Choice(observer=one.observer, fixed=one.fixed, clip=one.clip) for name, one in ranges.choices.items()},
    )
    return write_bytes(path, (indented(content.model_dump(mode="json"), ascii_only=False) + "\n").encode())


def read_ranges(path: Path, *, model_sha256: str) -> Ranges:
    """Ranges of a file that belong to the float TFLite file of the given digest.

    Raises:
        InputError: the file is missing or malformed, or belongs to another model.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: a ranges file has at most {MAX_BYTES >> 20} MB. Received: {path.stat().st_size} bytes.")
        file = _File.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}.", hint="Give the ranges.json that `bridge convert` wrote.") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(
            f"{path}: not a ranges file: {where + ': ' if where else ''}{first['msg']}.", hint="`bridge convert` writes ranges.json."
        ) from error
    upside_down = next((name for name, (low, high) in file.tensors.items() if low > high), None)
    if upside_down is not None:
        raise InputError(f"{path}: tensors.{upside_down}: the minimum is above the maximum. Received: {list(file.tensors[upside_down])}.")
    if file.model_sha256 != model_sha256:
        raise InputError(
            f"{path}: the ranges belong to another float model. Received: {file.model_sha256[:12]}..., needed: {model_sha256[:12]}...",
            hint="Calibrate again with --calibration; ranges fit only the .float32.tflite they were made for.",
        )
    return Ranges(
        tensors=MappingProxyType({name: TensorRange(low, high) for name, (low, high) in file.tensors.items()}),
        samples=file.samples,
        source=file.source,
        model_sha256=file.model_sha256,
        warnings=tuple(warning.diagnostic() for warning in file.warnings),
        own_sqnr_db=None if file.own_sqnr_db is None else MappingProxyType(file.own_sqnr_db),
        spreads=None if file.spreads is None else MappingProxyType({name: Spread(half, most) for name, (half, most) in file.spreads.items()}),
        observer=file.observer,
        choices=MappingProxyType({name: RangeChoice(one.observer, one.fixed, one.clip) for name, one in file.choices.items()}),
    )
