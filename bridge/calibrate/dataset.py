"""Samples for a model: from files, from arrays, or made up; checked against the model's inputs before anything runs."""

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from msgspec import Struct

from bridge.calibrate.array_files import Rows, StoredArray, open_arrays
from bridge.errors import InputError
from bridge.types import TensorSpec

LABELS = "labels"  # array of class indices beside the inputs
TRUTH = "truth"  # array of whatever is right for each sample, for task metrics: [N, ...]
SYNTHETIC = "synthetic"
RECENT = 4  # samples whose computed inputs are kept: each input is read on its own
MAX_RANDOM_VALUES = 1 << 29  # of one input, 2 GiB as float32
MAX_PERMUTED_AXES = 6  # 720 axis orders

# Axis orders that people know by name: of one sample, from what was received to what the model takes.
LAYOUTS: Mapping[tuple[int, ...], str] = {
    (2, 0, 1): "looks like NHWC data for an NCHW input",
    (1, 2, 0): "looks like NCHW data for an NHWC input",
    (1, 0): "looks like data with its two axes swapped",
}


@runtime_checkable
class NamedRows(Protocol):
    """Rows that come from a file each."""

    def name_of(self, row: int) -> str:
        """The file's path."""


class Dataset:
    """Samples of one model; iterating again starts again. Each sample is one call: input name -> array of the input's full shape.

    Args:
        arrays: input name -> [N, *input shape], maybe mapped from a file; what is yielded is a copy or a read-only view.
        inputs: the model's inputs with the shapes that samples get.
        source: file or description, for reports.
        labels: [N] integers, class per sample.
        truth: [N, ...] what is right for each sample, where it is more than a class.
        ignored: names of arrays that the model has no input for.
        rows: which samples of the arrays belong to the set, in order; all without it.
    """

    def __init__(
        self,
        arrays: Mapping[str, Rows],
        inputs: Sequence[TensorSpec],
        *,
        source: str,
        labels: np.ndarray | None = None,
        truth: Rows | None = None,
        ignored: tuple[str, ...] = (),
        rows: Sequence[int] | None = None,
    ) -> None:
        self._arrays = dict(arrays)
        self._all_labels = labels
        self._truth = truth
        self.inputs = tuple(inputs)
        self.source = source
        self.ignored = ignored
        self.rows: Sequence[int] = range(len(next(iter(self._arrays.values())))) if rows is None else rows

    @property
    def labels(self) -> np.ndarray | None:
        """[N] class per sample, None without labels."""
        return None if self._all_labels is None else self._all_labels[np.asarray(self.rows, np.intp)]

    def truth_of(self, position: int) -> np.ndarray | None:
        """What is right for a sample: its row of the array `truth`, else its class, else None."""
        known = self._all_labels if self._truth is None else self._truth
        return None if known is None else np.asarray(known[self.rows[position]])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, position: int) -> dict[str, np.ndarray]:
        row = self.rows[position]
        return {
            spec.name: np.ascontiguousarray(self._arrays[spec.name][row], np.dtype(spec.dtype)).reshape(spec.shape)  # type: ignore[arg-type]  # shapes are fixed here
            for spec in self.inputs
        }

    def name_of(self, position: int) -> str:
        """What a user finds a sample by: the picture's path, or the row in the data that were given, counted from 0."""
        row = self.rows[position]
        rows = self._arrays[self.inputs[0].name]
        return rows.name_of(row) if isinstance(rows, NamedRows) else f"sample {row}"

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        return (self[position] for position in range(len(self)))

    def digest(self) -> str:
        """sha256 over names, types, shapes and bytes of all samples in order: the same for the same data, whatever file it came in."""
        total = sha256()
        for spec in self.inputs:
            total.update(repr((spec.name, spec.dtype, spec.shape, len(self))).encode())
        for sample in self:
            for value in sample.values():
                total.update(value)
        return total.hexdigest()

    def subset(self, positions: Sequence[int], *, source: str | None = None) -> "Dataset":
        """Some of the samples, in the order given; shares the arrays."""
        rows = [self.rows[position] for position in positions]
        return Dataset(
            self._arrays,
            self.inputs,
            source=source or self.source,
            labels=self._all_labels,
            truth=self._truth,
            ignored=self.ignored,
            rows=rows,
        )  # fmt: skip

    def extended(self, inputs: Sequence[TensorSpec], compute: Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]) -> "Dataset":
        """The same samples for a model with further inputs, which are computed from each sample when it is read.

        Args:
            inputs: all inputs of that model; a sample's own arrays that it does not take are left out.
            compute: sample -> the arrays that are missing.
        """
        whole = Dataset(self._arrays, self.inputs, source=self.source)
        computed = functools.lru_cache(maxsize=RECENT)(lambda row: compute(whole[row]))
        own = self._arrays
        arrays = {spec.name: own[spec.name] if spec.name in own else _Computed(len(whole), spec.name, computed) for spec in inputs}
        return Dataset(arrays, inputs, source=self.source, labels=self._all_labels, truth=self._truth, ignored=self.ignored, rows=self.rows)


class _Computed(Struct, frozen=True):
    """Rows that are computed when they are read."""

    count: int
    name: str
    compute: Callable[[int], Mapping[str, np.ndarray]]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> np.ndarray:
        return self.compute(int(row))[self.name]


def load(path: Path, inputs: Sequence[TensorSpec], *, limit: int | None = None) -> Dataset:
    """Samples from a file: `.npz` with arrays named like the model's inputs (and maybe `labels`), or `.npy` for a model with one input.

    The leading axis of every array is the samples. Where a model input has a batch axis of 1 it may be left out: [N, 3, 32, 32] or
    [N, 1, 3, 32, 32] for an input [1, 3, 32, 32].

    Args:
        path: the file; uncompressed arrays stay in it and are read sample by sample.
        inputs: the model's inputs; a symbolic size takes what the data has.
        limit: use only the first so many samples.

    Raises:
        InputError: the file cannot be read or does not fit the inputs, or holds NaN or infinity.
    """
    stored = dict(open_arrays(path))
    if "" in stored:
        if len(inputs) != 1:
            names = ", ".join(spec.name for spec in inputs)
            raise InputError(
                f"{path}: a .npy file holds one array, the model has {len(inputs)} inputs: {names}.",
                hint="Save an .npz with numpy.savez.",
                code="data-missing-input",
            )
        stored = {inputs[0].name: stored.pop("")}
    return from_stored(stored, inputs, where=str(path), limit=limit)


def from_arrays(arrays: Mapping[str, np.ndarray], inputs: Sequence[TensorSpec], *, source: str = "arrays", limit: int | None = None) -> Dataset:
    """Samples from arrays in memory, named, shaped and checked like those of an `.npz` file.

    Raises:
        InputError: they do not fit the inputs, or hold NaN or infinity.
    """
    values = {name: np.asarray(value) for name, value in arrays.items()}
    stored = {name: StoredArray(name, value.shape, value.dtype, functools.partial(_rows, value)) for name, value in values.items()}
    return from_stored(stored, inputs, where=source, limit=limit)


def synthetic(inputs: Sequence[TensorSpec], *, seed: int, samples: int) -> Dataset:
    """Random samples: normal(0, 1) for floats, 0 or 1 for integers (a vocabulary is not known, 0 and 1 are in any), a symbolic size is 1.

    Each input draws from a stream of its own, named by the seed and its position, so more samples or inputs leave the others as they are.
    """
    specs = [_with_shape(spec, (1,) * len(spec.shape)) for spec in inputs]
    arrays = {spec.name: _random(spec, np.random.default_rng([seed, position]), samples) for position, spec in enumerate(specs)}
    return Dataset(arrays, specs, source=SYNTHETIC)


def split(dataset: Dataset, *, holdout: float) -> tuple[Dataset, Dataset]:
    """Two sets without a common sample: the greater part, and about `holdout` of the samples spread evenly over the set.

    Spread evenly, because files are often sorted by class. Both parts have at least one sample.

    Raises:
        InputError: there are fewer than two samples.
    """
    total = len(dataset)
    if total < 2:
        raise InputError(
            f"{dataset.source}: of {total} sample none can be held out for the comparison.",
            hint="Give --evaluation data, or more samples.",
            code="data-count",
        )
    count = min(max(1, round(total * holdout)), total - 1)
    held = [position * total // count + total // count // 2 for position in range(count)]
    rest = sorted(set(range(total)) - set(held))
    return dataset.subset(rest), dataset.subset(held, source=f"{dataset.source} ({count} of {total} samples held out)")


def from_stored(stored: Mapping[str, StoredArray], inputs: Sequence[TensorSpec], *, where: str, limit: int | None) -> Dataset:
    """Samples of arrays known by their headers: what does not fit is refused by these, so that it is never unpacked.

    Raises:
        InputError: they do not fit the inputs, or hold NaN or infinity.
    """
    names = {spec.name for spec in inputs}
    shapes = {spec.name: _sample_shape(stored, spec, where) for spec in inputs}
    counts = {name: array.shape[0] for name, array in stored.items() if name in names or (name in (LABELS, TRUTH) and array.shape)}
    if len(set(counts.values())) > 1:
        received = ", ".join(f"{name!r} {count}" for name, count in counts.items())
        raise InputError(f"{where}: every array needs the same number of samples. Received: {received}.", code="data-count")
    total = min(counts[inputs[0].name], counts[inputs[0].name] if limit is None else limit)
    if total < 1:
        raise InputError(f"{where}: there is no sample in it.", code="data-count")
    arrays = {name: stored[name].read(total) for name in shapes}
    for spec in inputs:
        if not stored[spec.name].finite:
            _refuse_non_finite(arrays[spec.name], spec, where)
    labels = _labels(stored[LABELS], total, where) if LABELS in stored and LABELS not in names else None
    truth = _truth(stored[TRUTH], total, where) if TRUTH in stored and TRUTH not in names else None
    ignored = tuple(name for name in stored if name not in names and name not in (LABELS, TRUTH))
    specs = [_with_shape(spec, shapes[spec.name]) for spec in inputs]
    return Dataset(arrays, specs, source=where, labels=labels, truth=truth, ignored=ignored)


def _sample_shape(stored: Mapping[str, StoredArray], spec: TensorSpec, where: str) -> tuple[int, ...]:
    """Shape of one sample of an input, the batch axis included; refuses what does not fit."""
    if spec.name not in stored:
        received = ", ".join(map(repr, stored)) or "none"
        raise InputError(
            f"{where}: no array {spec.name!r} for the model input of that name. Received: {received}.",
            hint=f"Name the arrays like the model inputs: numpy.savez(file, **{{{spec.name!r}: ...}}).",
            code="data-missing-input",
        )
    array = stored[spec.name]
    if array.dtype.name != spec.dtype:
        raise InputError(
            f"{where}: array {spec.name!r} must be {spec.dtype}. Received: {array.dtype.name}.",
            hint=_dtype_hint(array.dtype, spec),
            code="data-dtype",
        )
    one = array.shape[1:]
    if array.shape and fits(one, spec.shape):
        return one
    if array.shape and has_batch_of_one(spec) and fits(one, spec.shape[1:]):
        return (1, *one)
    expected = " or ".join(f"[samples, {', '.join(map(str, shape))}]" for shape in _accepted(spec))
    raise InputError(
        f"{where}: array {spec.name!r} must have shape {expected}. Received: {list(array.shape)}.",
        hint=_shape_hint(array.shape, spec),
        code="data-shape",
    )


def has_batch_of_one(spec: TensorSpec) -> bool:
    """Whether the input's first axis may be left out."""
    return bool(spec.shape) and (spec.shape[0] == 1 or isinstance(spec.shape[0], str))


def _accepted(spec: TensorSpec) -> list[tuple[int | str, ...]]:
    return [spec.shape[1:], spec.shape] if has_batch_of_one(spec) else [spec.shape]


def fits(shape: tuple[int, ...], wanted: tuple[int | str, ...]) -> bool:
    """Whether the sizes are those that are wanted; a symbolic one takes any."""
    return len(shape) == len(wanted) and all(isinstance(want, str) or size == want for size, want in zip(shape, wanted, strict=True))


def _dtype_hint(received: np.dtype[np.generic], spec: TensorSpec) -> str:
    if received.kind in "iu" and np.dtype(spec.dtype).kind == "f":
        return f"Save what the model is fed after preprocessing (scale, mean, deviation), as {spec.dtype}; raw values are not converted."
    return f"Save {spec.name!r} as array.astype(numpy.{spec.dtype})."


def _shape_hint(shape: tuple[int, ...], spec: TensorSpec) -> str:
    """What the data look like, when an axis order or a missing axis explains them."""
    if any(fits(shape, accepted) for accepted in _accepted(spec)):
        return f"That is one sample; save {spec.name!r} as array[None] for the leading axis of samples."
    for accepted in _accepted(spec):
        if len(shape) != len(accepted) + 1 or len(accepted) > MAX_PERMUTED_AXES:
            continue
        leading = len(accepted) - len(spec.shape[1:]) if has_batch_of_one(spec) else 0  # a batch axis stays where it is
        for order in itertools.permutations(range(leading, len(accepted))):
            axes = (*range(leading), *order)
            if fits(tuple(shape[1 + axis] for axis in axes), accepted):
                named = LAYOUTS.get(tuple(axis - leading for axis in order), "looks like data in another axis order")
                return f"It {named}: save {spec.name!r} as array.transpose{(0, *(axis + 1 for axis in axes))}."
    return "Save what the model is fed in one call, with a leading axis of samples."


def _refuse_non_finite(array: Rows, spec: TensorSpec, where: str) -> None:
    if np.dtype(spec.dtype).kind != "f":
        return
    for position in range(len(array)):
        value = array[position]
        if not np.isfinite(value).all():
            raise InputError(
                f"{where}: array {spec.name!r} holds NaN or infinity in sample {position} (of {len(array)}, counted from 0).", code="data-non-finite"
            )


def _labels(stored: StoredArray, total: int, where: str) -> np.ndarray:
    if stored.dtype.kind not in "iu" or len(stored.shape) not in (1, 2) or stored.shape[1:] not in ((), (1,)):
        raise InputError(
            f"{where}: array {LABELS!r} must be one class index per sample, integers of shape [samples]. Received: {stored.dtype.name} {list(stored.shape)}.",
            hint="Save one-hot labels as labels.argmax(-1).",
            code="data-labels",
        )
    return np.asarray(stored.read(total), np.int64).reshape(-1)


def _truth(stored: StoredArray, total: int, where: str) -> Rows:
    if not stored.shape or stored.dtype.kind not in "biuf":
        raise InputError(
            f"{where}: array {TRUTH!r} must be numbers of shape [samples, ...]. Received: {stored.dtype.name} {list(stored.shape)}.",
            code="data-labels",
        )
    return stored.read(total)


def _with_shape(spec: TensorSpec, shape: tuple[int, ...]) -> TensorSpec:
    """The spec with the sizes of `shape` where it has symbolic ones."""
    sizes = tuple(other if isinstance(size, str) else size for size, other in zip(spec.shape, shape, strict=True))
    return TensorSpec(spec.name, sizes, spec.dtype)


def _random(spec: TensorSpec, generator: np.random.Generator, samples: int) -> np.ndarray:
    dtype, shape = np.dtype(spec.dtype), (samples, *(int(size) for size in spec.shape))
    count = math.prod(shape)
    if count > MAX_RANDOM_VALUES:
        raise InputError(
            f"input {spec.name!r} {list(spec.shape)}: {samples} random samples would be {count} numbers, more than are made up.",
            hint="Give --calibration, or a smaller shape with --input.",
        )
    values = np.empty(shape, dtype)
    for row in range(samples):
        values[row] = generator.standard_normal(shape[1:]) if dtype.kind == "f" else generator.integers(0, 2, shape[1:])
    return values


def _rows(array: np.ndarray, count: int) -> np.ndarray:
    return array[:count]
