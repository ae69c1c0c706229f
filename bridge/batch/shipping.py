"""A job for another machine: files that it does not have are sent as bytes, and the results come back as bytes.

There, all files stand in a private tree under the paths that they have here, so that relative paths mean the same; what the report says of paths is
what would be said here.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

from bridge import frontends, report
from bridge.batch.jobs import Job
from bridge.batch.process import Processes
from bridge.errors import UsageError
from bridge.files import digest, results_folder, write_bytes
from bridge.report.schema import Report
from bridge.report.summary import ModelRow

PATHS = ("calibration", "evaluation", "preprocess", "rules", "ranges", "baseline", "metrics")  # options that may name files


@dataclass(frozen=True, slots=True)
class Parcel:
    """A job, the current folder here, and its files.

    Attributes:
        digests: absolute path -> sha256.
        contents: of those that were asked for.
    """

    job: Job
    folder: str
    bridge: str
    digests: Mapping[str, str]
    contents: Mapping[str, bytes] = field(default_factory=dict)

    def with_contents(self, paths: tuple[str, ...]) -> "Parcel":
        """The parcel with the bytes of further files."""
        return replace(self, contents={**self.contents, **{path: Path(path).read_bytes() for path in paths}})


@dataclass(frozen=True, slots=True)
class Missing:
    """Files that are not there, or are others."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Returned:
    """The row, the files of the results by relative path, and the folders there, whose names have no meaning here."""

    row: ModelRow
    files: Mapping[str, bytes]
    tree: str
    results: str

    def unpack(self, target: Path, *, force: bool) -> ModelRow:
        """Writes the results as a conversion here would have, returns the row."""
        with results_folder(target, force=force) as folder:
            for name, content in self.files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                write_bytes(folder / name, self._here(content) if name.endswith(".json") else content)
            if "report.json" in self.files:
                report.write(Report.from_json((folder / "report.json").read_bytes()), folder)
        said = {key: value.replace(self.results, str(target)).replace(self.tree, "") for key, value in self._words().items()}
        return self.row.model_copy(update=said)

    def _words(self) -> dict[str, str]:
        return {"model": self.row.model, "error": self.row.error, "hint": self.row.hint, "headline": self.row.headline}

    def _here(self, content: bytes) -> bytes:
        return content.replace(json.dumps(self.tree)[1:-1].encode(), b"")


def pack(job: Job) -> Parcel:
    """The job with the digests of its files."""
    here = Path.cwd()
    files = {os.path.abspath(here / path) for path in _files(job)}  # noqa: PTH100  # `resolve` would follow links, and the tree has none
    return Parcel(job, str(here), version("tflite-bridge"), {path: digest(Path(path)) for path in sorted(files)})


def convert_there(parcel: Parcel) -> Missing | Returned:
    """Converts, on the machine that this is called on.

    Raises:
        UsageError: another version of bridge is installed here.
    """
    if parcel.bridge != (here := version("tflite-bridge")):
        raise UsageError(f"A Dask worker has bridge {here}, and {parcel.bridge} sends the job.", hint="Install the same version on every worker.")
    with tempfile.TemporaryDirectory(prefix="bridge-job-") as private:
        tree, results = Path(private, "tree"), Path(private, "results")
        missing = tuple(path for path in parcel.digests if not _placed(path, parcel, _inside(tree, path)))
        if missing:
            return Missing(missing)
        folder = _inside(tree, parcel.folder)
        folder.mkdir(parents=True, exist_ok=True)
        row = Processes().run(_moved(parcel.job, tree), results, force=True, cwd=folder)
        files = {str(path.relative_to(results)): path.read_bytes() for path in sorted(results.rglob("*")) if path.is_file()}
    return Returned(row, files, str(tree), str(results))


def _placed(path: str, parcel: Parcel, place: Path) -> bool:
    """Whether the file could be put into the tree."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if path in parcel.contents:
        place.write_bytes(parcel.contents[path])
        return True
    try:
        shutil.copyfile(path, place)
    except OSError:
        return False
    return digest(place) == parcel.digests[path]


def _inside(tree: Path, path: str) -> Path:
    return tree / Path(path).relative_to(Path(path).anchor)


def _moved(job: Job, tree: Path) -> Job:
    """The job with absolute paths led into the tree."""

    def moved(value: object) -> object:
        if isinstance(value, tuple | list):
            return tuple(moved(one) for one in value)
        return str(_inside(tree, str(value))) if isinstance(value, str | Path) and Path(value).is_absolute() else value

    options = {key: moved(value) if key in PATHS else value for key, value in job.options.items()}
    return replace(job, path=_inside(tree, str(job.path)) if job.path.is_absolute() else job.path, options=options)


def _files(job: Job) -> Iterator[Path]:
    """Files that the job names: of the model with its external data, of folders, of Python modules."""
    yield from frontends.files(job.path) if job.path.is_file() else _all(job.path)
    for key in PATHS:
        value = job.options.get(key)
        for one in value if isinstance(value, tuple | list) else (value,):
            if isinstance(one, str | Path):
                yield from _all(Path(one))
                yield from _module(str(one).rpartition(":")[0])
    for name in job.custom_ops:
        yield from _module(name)


def _all(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    elif path.is_dir():
        yield from (one for one in path.rglob("*") if one.is_file())


def _module(name: str) -> Iterator[Path]:
    """The file of a module in the current folder, by its path or its dotted name; what that imports or reads is not known here."""
    path = Path(name) if name.endswith(".py") else Path(f"{name.replace('.', '/')}.py")
    if name and path.is_file():
        yield path
