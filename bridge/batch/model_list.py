"""The file that lists the models of a batch, with what is said about single ones."""

import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bridge import toml_text
from bridge.batch.jobs import BatchModel
from bridge.errors import UsageError

HINT = 'Each model is a table: [[models]] with path = "a.onnx", and what is said about it alone.'


class Entry(BaseModel):
    """One model; the keys are options of `bridge convert`, spelt as in the settings, and replace what is said for all."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    path: str = Field(min_length=1)
    name: str = ""
    calibration: str | None = None
    evaluation: str | None = None
    preprocess: str | None = None
    rules: tuple[str, ...] | None = Field(None, strict=False)
    precision: str | None = None
    signature: str | None = None
    input: dict[str, Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False)]] | None = None
    metric: tuple[str, ...] | None = Field(None, strict=False)
    gate: tuple[str, ...] | None = Field(None, strict=False)
    baseline: str | None = None


class _List(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    models: tuple[Entry, ...] = Field(min_length=1)


API = {"input": "input_shapes", "metric": "metrics", "gate": "gates"}  # where the keyword of `bridge.convert` is another


def read_models(path: Path, *, default_rules: bool = True) -> tuple[BatchModel, ...]:
    """The models of a TOML file; paths in it are seen from the current folder, as on the command line.

    Args:
        path: the file.
        default_rules: whether the pack `default` comes before the rules of a model.

    Raises:
        UsageError: it cannot be read, or has a key that is unknown or of the wrong type.
    """
    try:
        found = _List.model_validate(toml_text.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{path}: cannot be read: {error}.", hint=HINT) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise UsageError(f"{path}: {place}: {first['msg']}. Received: {str(first['input'])[:80]!r}.", hint=HINT) from error
    return tuple(_model(entry, default_rules=default_rules) for entry in found.models)


def _model(entry: Entry, *, default_rules: bool) -> BatchModel:
    said = entry.model_dump(exclude_unset=True, exclude={"path", "name"})
    if entry.rules is not None:
        said["rules"] = (*(("default",) if default_rules else ()), *entry.rules)
    return BatchModel(Path(entry.path), entry.name, {API.get(key, key): value for key, value in said.items()})
