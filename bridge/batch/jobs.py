"""What is converted in one run: the models, what their results are called, and what each of them is converted with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bridge import frontends
from bridge.errors import UsageError
from bridge.placeholders import filled

SUMMARY = ("summary.json", "summary.html", "summary.md")


@dataclass(frozen=True, slots=True)
class BatchModel:
    """A model of a batch.

    Attributes:
        path: what `bridge.convert` takes, but no live model: it is read by another process.
        name: of the folder with its results; the model's stem if empty, with its folder where several have the same.
        options: keyword arguments of `bridge.convert` for this model, instead of those for all.
    """

    path: Path
    name: str = ""
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Job:
    """One conversion: the name of its results, the model, all keyword arguments of `bridge.convert` but the folder, and modules with operators."""

    name: str
    path: Path
    options: Mapping[str, object]
    custom_ops: tuple[str, ...] = ()


def jobs_for(models: Sequence[BatchModel], options: Mapping[str, object], custom_ops: Sequence[str]) -> tuple[Job, ...]:
    """The jobs, in the order of the models.

    Args:
        models: at least one.
        options: keyword arguments of `bridge.convert` for all; `{stem}`, `{name}` and `{dir}` in PER_MODEL stand for the model's.
        custom_ops: modules that register operators.

    Raises:
        UsageError: there is no model, or two results would have one name.
    """
    if not models:
        raise UsageError("There is no model to convert.", hint="bridge convert a.onnx b.onnx, or --batch models.toml.")
    return tuple(Job(one.name, one.path, filled(dict(options) | dict(one.options), one.path, one.name), tuple(custom_ops)) for one in _named(models))


def _named(models: Sequence[BatchModel]) -> list[BatchModel]:
    """With a name for each: the stem, else the file, else both with the folder before them, whichever is the first that tells all of a stem apart."""
    stems = [one.name or _stem(one.path) for one in models]
    named = []
    for one, stem in zip(models, stems, strict=True):
        same = [other for other, its in zip(models, stems, strict=True) if its == stem]
        unique = (spelling for spelling in SPELLINGS if len({spelling(other.path) for other in same}) == len(same))
        chosen = stem if len(same) == 1 or one.name else next((spelling(one.path) for spelling in unique), "")
        if not chosen:
            raise UsageError(f"{one.path} is given more than once.", hint='Give each a `name = "..."` in a --batch file.')
        named.append(replace(one, name=_checked(chosen, one.path)))
    twice = next((one for place, one in enumerate(named) if one.name in [other.name for other in named[:place]]), None)
    if twice is not None:
        raise UsageError(
            f"{twice.path}: another model has the name {twice.name!r} for its results already.", hint='Give it a `name = "..."` in a --batch file.'
        )
    return named


def _stem(path: Path) -> str:
    return frontends.stem(path.resolve() if path.name in ("", "..") else path)  # a SavedModel that is the current folder


SPELLINGS: tuple[Callable[[Path], str], ...] = (
    _stem,
    lambda path: path.name,
    lambda path: f"{path.resolve().parent.name}-{_stem(path)}",
    lambda path: f"{path.resolve().parent.name}-{path.name}",
)


def _checked(name: str, path: Path) -> str:
    """The name, if a folder of it lies where it should."""
    if name.startswith(".") or "/" in name or "\\" in name or "\0" in name or name in SUMMARY:
        raise UsageError(
            f"{path}: no folder for its results can have the name {name!r}.", hint='Rename the file, or give it a `name = "..."` in a --batch file.'
        )
    return name
