"""Everything that the trials of one model need, in a folder that is written once and that any process can read."""

import functools
import importlib.metadata
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import msgspec
import numpy as np

from bridge.calibrate import Dataset
from bridge.compare.comparison import output_pairs
from bridge.compare.outputs import OutputPair, Outputs, candidate, compare_outputs, conversion_samples
from bridge.compare.samples import spread
from bridge.errors import InputError, UsageError
from bridge.files import digest, write_bytes
from bridge.indented_json import indented
from bridge.preparing import Prepared, Request
from bridge.quantize.float_graph import FloatGraph, read_graph
from bridge.task_metrics import AnyMetric, Measurement
from bridge.tflite import model as tflite
from bridge.tflite import parallel
from bridge.tune.portable_metrics import PortableMetrics, portable
from bridge.tune.settings import Setting, read_setting, setting_names, with_owner, write_setting
from bridge.tune.stored import StoredOutputs, StoredSamples
from bridge.types import InputBinding, OutputResult, TensorSpec

FACTS, FLOAT_FILE, SETTINGS, LABELS, TRUTH = "workload.json", "float.tflite", "settings", "labels.npy", "truth.npy"
DEFAULT_SAMPLES = 64
KERNELS = ("ai-edge-litert", "numpy")  # packages whose versions decide what a trial measures
CODE = (
    "clustering.py",
    "compare",
    "quantize",
    "task_metrics",
    "tflite",
    "tune/stored.py",
    "tune/trial.py",
    "tune/workload.py",
)  # parts of bridge that do


@dataclass(frozen=True, slots=True)
class Facts:
    """What `workload.json` holds.

    Attributes:
        float_sha256: digest of the float file.
        bindings: how samples are fed.
        pairs: where the user's outputs are in the files.
        inputs: of the user's model; their values are in `input-<position>.npy`.
        output_names: of the user's model in its order; their values, as its runtime gave them, are in `output-<position>.npy`.
        metrics: task metrics.
        input_dtype: of the quantized file's inputs, as for `quantize`.
        output_dtype: likewise.
        samples: how many there are.
        arrays: digests of the files with values.
        float_outputs: errors of the float file, on as many samples as `convert` measures it on.
        versions: of what decides about figures.
    """

    float_sha256: str
    bindings: tuple[InputBinding, ...]
    pairs: tuple[OutputPair, ...]
    inputs: tuple[TensorSpec, ...]
    output_names: tuple[str, ...]
    metrics: PortableMetrics
    input_dtype: str
    output_dtype: str
    samples: int
    arrays: Mapping[str, str]
    float_outputs: tuple[OutputResult, ...]
    versions: Mapping[str, str]


_live: dict[str, Sequence[AnyMetric]] = {}  # digest -> the metrics themselves, in the process that wrote the workload


class Workload:
    """A float file, ways to quantize it, samples, and what the user's model computes for them.

    Trials are equal wherever they run, so a workload refuses a process whose kernels or whose bridge are of another version.

    Attributes:
        folder: where it is; nobody changes files in it, further settings are added.
        facts: what is known beside the files.
        digest: identity of everything but the settings, which have digests of their own.
    """

    def __init__(self, folder: Path) -> None:
        """Opens a folder that `write` made.

        Raises:
            InputError: it holds no workload.
            UsageError: it was written with other versions of the kernels or of bridge.
        """
        self.folder = folder
        content = _read(folder / FACTS)
        try:
            self.facts = msgspec.convert(json.loads(content), Facts)
        except ValueError as error:
            raise InputError(f"{folder / FACTS}: is no workload of this version of bridge.") from error
        self.digest = sha256(content).hexdigest()
        self._settings: dict[str, Setting] = {}
        for name, version in _versions().items():
            if self.facts.versions.get(name) != version:
                raise UsageError(
                    f"{folder}: was written with {name} {self.facts.versions.get(name)}, this process has {version}.",
                    hint="Trials are comparable only with the same kernels: install the same versions everywhere.",
                )

    @classmethod
    def write(cls, folder: Path, prepared: Prepared, settings: Sequence[Setting], *, request: Request, samples: int = DEFAULT_SAMPLES) -> "Workload":
        """Writes a workload in place of what the folder holds; the same model and data give the same digest.

        Args:
            folder: made if it does not exist.
            prepared: the float file, the samples, the reference.
            settings: ranges and corrections to begin with.
            request: what `prepared` was made of: metrics, types of inputs and outputs.
            samples: at most so many of the evaluation samples, spread evenly.

        Raises:
            UsageError: the model is quantized already, or a metric does not exist.
            InputError: an output or a metric of the user does not fit.
            ToolError: a model does not run.
        """
        if prepared.opened.quantized is not None:
            raise UsageError("The model is quantized already: its own scales and precisions hold.", hint="Give the float model.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".workload-"))
        try:
            write_bytes(made / FACTS, indented(_write_files(made, prepared, request, samples)).encode())
            _live[digest(made / FACTS)] = tuple(request.metrics)
            shutil.rmtree(folder, ignore_errors=True)
            made.replace(folder)
        finally:
            shutil.rmtree(made, ignore_errors=True)
        workload = cls(folder)
        for setting in settings:
            workload.with_setting(setting)
        return workload

    def with_setting(self, setting: Setting) -> "Workload":
        """This workload with one more setting; trials of the others stay what they are.

        Raises:
            UsageError: there is another setting of that name.
        """
        owned = with_owner(setting, self.facts.float_sha256)
        write_setting(self.folder / SETTINGS, owned)
        if self.setting(setting.name).digest != owned.digest:
            raise UsageError(f"There is another setting {setting.name!r} already.", hint="Give it a name of its own.")
        return self

    def setting(self, name: str) -> Setting:
        """The setting of that name.

        Raises:
            InputError: there is none.
        """
        if name not in self._settings:
            self._settings[name] = read_setting(self.folder / SETTINGS, name, model_sha256=self.facts.float_sha256)
        return self._settings[name]

    @property
    def settings(self) -> tuple[str, ...]:
        """Names of those that there are."""
        return setting_names(self.folder / SETTINGS)

    @property
    def float_path(self) -> Path:
        """The float TFLite file."""
        return self.folder / FLOAT_FILE

    @functools.cached_property
    def graph(self) -> FloatGraph:
        """Of the float file; kept, since every trial adds to what it knows about its constants."""
        return read_graph(tflite.parse(self.float_path.read_bytes(), where=str(self.float_path)), where=str(self.float_path))

    @functools.cached_property
    def samples(self) -> StoredSamples:
        """Those to evaluate on."""
        arrays = {spec.name: _mapped(self.folder / _input_file(position)) for position, spec in enumerate(self.facts.inputs)}
        labels, truth = (_mapped(self.folder / name) if name in self.facts.arrays else None for name in (LABELS, TRUTH))
        return StoredSamples(Dataset(arrays, self.facts.inputs, source=str(self.folder), labels=labels, truth=truth))

    @functools.cached_property
    def reference(self) -> StoredOutputs:
        """What the user's model computes for the samples."""
        return StoredOutputs({name: _mapped(self.folder / _output_file(position)) for position, name in enumerate(self.facts.output_names)})

    def measurement(self) -> Measurement:
        """The task metrics at their start.

        Raises:
            UsageError: a metric that this process cannot find.
            InputError: likewise, of a module.
        """
        return Measurement.of(self.facts.metrics.found(_live.get(self.digest)), self.facts.output_names, self.samples.data)


def open_workload(folder: Path) -> Workload:
    """The workload in a folder, opened once per process and version of it."""
    facts = folder / FACTS
    return _open(folder, facts.stat().st_mtime_ns if facts.is_file() else 0, facts.stat().st_ino if facts.is_file() else 0)


@functools.lru_cache(maxsize=2)
def _open(folder: Path, *version: int) -> Workload:
    del version
    return Workload(folder)


def _write_files(folder: Path, prepared: Prepared, request: Request, count: int) -> Facts:
    data = prepared.data.evaluation
    data = data.subset(spread(len(data), max(1, count)))
    bindings = prepared.converted.tensor_map.inputs
    shutil.copyfile(prepared.converted.path, folder / FLOAT_FILE)
    plain = prepared.reference.outputs_only(threads=1)
    opened = candidate(folder / FLOAT_FILE, bindings)
    pairs = tuple(output_pairs(plain, opened, prepared.converted.tensor_map, data[0]))
    files = {}
    for position, spec in enumerate(data.inputs):
        files[_input_file(position)] = np.stack([sample[spec.name] for sample in data])
    names = [spec.name for spec in prepared.graph.outputs]
    expected: list[Outputs] = [{} for _ in range(len(data))]

    def work(stream: parallel.Stream) -> None:
        for position, sample in stream:
            expected[position] = plain.run(sample, names)

    parallel.run([work] * max(1, request.threads), parallel.Stream(iter(data), lambda _: None))
    for position, name in enumerate(names):
        files[_output_file(position)] = np.stack([sample[name] for sample in expected])
    truth = [data.truth_of(position) for position in range(len(data))]
    files |= {LABELS: data.labels} if data.labels is not None else {}
    files |= {TRUTH: np.stack([one for one in truth if one is not None])} if truth[0] is not None else {}
    for file, value in files.items():
        np.save(folder / file, value, allow_pickle=False)
    some = sorted(conversion_samples(len(data)))
    stored = StoredOutputs({name: files[_output_file(position)][some] for position, name in enumerate(names)})
    float_outputs, _ = compare_outputs(stored, [opened], pairs, StoredSamples(data.subset(some)), threads=request.threads, progress=lambda _: None)
    return Facts(
        float_sha256=prepared.converted.sha256,
        bindings=bindings,
        pairs=pairs,
        inputs=data.inputs,
        output_names=tuple(names),
        metrics=portable(request.metrics),
        input_dtype=request.input_dtype,
        output_dtype=request.output_dtype,
        samples=len(data),
        arrays={file: digest(folder / file) for file in sorted(files)},
        float_outputs=float_outputs,
        versions=_versions(),
    )


def _input_file(position: int) -> str:
    return f"input-{position}.npy"


def _output_file(position: int) -> str:
    return f"output-{position}.npy"


def _mapped(path: Path) -> np.ndarray:
    array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}.") from error


@functools.cache
def _versions() -> dict[str, str]:
    """Version of each package that decides about figures, and a digest of the code of bridge that does."""
    package = Path(__file__).parents[1]
    total = sha256()
    for part in CODE:
        here = package / part
        for path in [here] if here.is_file() else sorted(path for path in here.rglob("*") if path.suffix in (".py", ".json")):
            total.update(str(path.relative_to(package)).encode() + path.read_bytes())
    return {name: importlib.metadata.version(name) for name in KERNELS} | {"bridge": total.hexdigest()[:16]}
