"""Traces: what a model computed for some samples, saved as an `.npz` with one array [samples, *shape] per tensor, to be compared without running."""

import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from bridge.compare.candidates import in_user_layout
from bridge.compare.forms import Form, feeder, form_of
from bridge.compare.runs import Run
from bridge.compare.samples import NamedSamples
from bridge.errors import InputError
from bridge.files import whole_file
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter
from bridge.types import InputBinding, TensorMap

OUTPUTS, SAMPLES = "bridge/outputs", "bridge/samples"  # names of the outputs and of the samples, beside the tensors


class TFLiteRun:
    """A TFLite file, float or quantized, whose tensors are shown as real values.

    Args:
        path: the file.
        samples: what it runs on, in the user's layout.
        bindings: how its inputs are fed.
        tensor_map: gives the tensors the user's names and layout; without it they keep those of the file.
        threads: of one run.

    Raises:
        ToolError: the file does not run.
    """

    def __init__(
        self, path: Path, samples: NamedSamples, *, bindings: Sequence[InputBinding], tensor_map: TensorMap | None = None, threads: int = 1
    ) -> None:
        model = tflite.read_once(path)
        main = tflite.main_graph(model)
        by_name = {tflite.text(main.tensors[index].name): index for index in tflite.activations(model) if index not in set(map(int, main.inputs))}
        pairs = tensor_map.pairs if tensor_map is not None else ()
        mapped = [pair for pair in pairs if pair.status == "mapped" and pair.tflite_tensor in by_name]
        self._places = {pair.tensor: (by_name[str(pair.tflite_tensor)], pair.permutation, pair.onnx_shape) for pair in mapped}
        if tensor_map is None:
            self._places = {name: (index, (), ()) for name, index in by_name.items()}
        ends = tensor_map.outputs if tensor_map is not None else ()
        self.tensors = tuple(self._places)
        names = [pair.tensor for pair in ends] if tensor_map is not None else [tflite.text(main.tensors[index].name) for index in main.outputs]
        self.outputs = tuple(name for name in names if name in self._places)
        self._indices = list(dict.fromkeys(index for index, _, _ in self._places.values()))
        self._forms: dict[int, Form | None] = {index: form_of(main.tensors[index]) for index in self._indices}
        self._samples, self._feeder = samples, feeder(model, bindings)
        self._interpreter = Interpreter(tflite.expose(model, self._indices), threads=threads)

    def __len__(self) -> int:
        return len(self._samples)

    def name_of(self, position: int) -> str:
        """The sample's name in the data."""
        return self._samples.name_of(position)

    def values(self, position: int) -> Mapping[str, np.ndarray]:
        """Runs the file."""
        stored = dict(zip(self._indices, self._interpreter.run(self._feeder(self._samples[position])), strict=True))
        found = {}
        for name, (index, permutation, shape) in self._places.items():
            form = self._forms[index]
            real = stored[index] if form is None else form.real(stored[index])
            found[name] = in_user_layout(real, permutation, shape) if permutation else real
        return found


class Rows(Protocol):
    """An array [samples, *shape], maybe in a file."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> np.ndarray: ...


class Trace:
    """A trace that was saved.

    Args:
        path: names the `.npz` file in errors.
        arrays: what is in it.

    Raises:
        InputError: it is no trace.
    """

    def __init__(self, path: Path, arrays: Mapping[str, Rows]) -> None:
        if OUTPUTS not in arrays or SAMPLES not in arrays:
            raise InputError(f"{path}: is no trace.", hint="`bridge trace` writes one.")
        self.outputs = tuple(map(str, _each(arrays[OUTPUTS])))
        self._names = tuple(map(str, _each(arrays[SAMPLES])))
        self._arrays = {name: array for name, array in arrays.items() if name not in (OUTPUTS, SAMPLES)}
        self.tensors = tuple(self._arrays)
        for name, array in self._arrays.items():
            if len(array) != len(self._names):
                raise InputError(f"{path}: tensor {name!r} has {len(array)} samples, expected {len(self._names)}.")

    def __len__(self) -> int:
        return len(self._names)

    def name_of(self, position: int) -> str:
        """The sample's name in the data of the run."""
        return self._names[position]

    def values(self, position: int) -> Mapping[str, np.ndarray]:
        """What was saved."""
        return {name: np.asarray(array[position]) for name, array in self._arrays.items()}


def _each(rows: Rows) -> Iterator[np.ndarray]:
    return (rows[row] for row in range(len(rows)))


def _mapped(path: Path, dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> np.ndarray:
    """A new file as an array, its room on the disk taken: to write where there is none left would end the process, not raise."""
    array: np.ndarray = np.lib.format.open_memmap(path, "w+", dtype, shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def record(run: Run, path: Path, *, progress: Callable[[int], None]) -> None:
    """Saves every tensor of a run; one sample's values are in memory at a time.

    Raises:
        InputError: there are no samples.
        OSError: the file cannot be written.
    """
    if len(run) == 0:
        raise InputError("There are no samples to trace.", hint="Give --data.", code="data-count")
    with tempfile.TemporaryDirectory(prefix="bridge-") as folder:
        arrays: dict[str, np.ndarray] = {}
        files: dict[str, Path] = {}
        for position in range(len(run)):
            for name, value in run.values(position).items():
                if name not in arrays:
                    files[name] = Path(folder) / f"{len(files)}.npy"
                    arrays[name] = _mapped(files[name], value.dtype, (len(run), *value.shape))
                arrays[name][position] = value
            progress(1)
        arrays.clear()  # closes the files
        facts = {OUTPUTS: np.array(run.outputs), SAMPLES: np.array([run.name_of(position) for position in range(len(run))])}
        with whole_file(path) as target, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
            for name in (name for name in run.tensors if name in files):
                archive.write(files[name], f"{name}.npy")
            for name, fact in facts.items():
                with archive.open(f"{name}.npy", "w") as member:
                    np.lib.format.write_array(member, fact, allow_pickle=False)
