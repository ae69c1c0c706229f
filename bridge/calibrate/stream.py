"""Samples from anything that can be iterated: generators, DataLoaders, tf.data datasets; spooled to a file, so that no more than one element is in memory.

Datasets are read more than once (split, checked, calibrated, compared), a stream only once. What it yields is written to unnamed temporary files, which
the system removes with the process, whatever ends it.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO

import numpy as np
from msgspec import Struct, field

from bridge.calibrate.array_files import StoredArray
from bridge.calibrate.dataset import LABELS, TRUTH, Dataset, fits, from_stored, has_batch_of_one
from bridge.errors import InputError
from bridge.types import TensorSpec

MAX_BYTES = 16 << 30  # of all files of one stream
KEPT_FREE = 1 << 30  # bytes that stay free on the disk
LABEL_NAMES = (LABELS, "label")

ONE_ELEMENT = (
    "An element is an array, a tuple (inputs..., labels), or a dict with the names of the model's inputs; a batch of any size or one sample."
)


def from_stream(elements: Iterable[object], inputs: Sequence[TensorSpec], *, where: str, limit: int | None = None) -> Dataset:
    """The samples of a stream.

    Args:
        elements: arrays, tuples or dicts, each a batch or one sample, as the shapes of the inputs tell; PyTorch and TensorFlow tensors are arrays too.
        inputs: the model's inputs.
        where: what the stream is, for messages.
        limit: take only the first so many samples.

    Raises:
        InputError: nothing comes, an element does not fit the inputs or the ones before it, iterating fails, or it never ends.
    """
    labels: list[np.ndarray] = []
    left = limit
    with contextlib.ExitStack() as files:
        spool = _Spool(where, files)
        for position, element in enumerate(_iterated(elements, where)):
            at = f"{where}: element {position}"
            arrays, classes = _parts(element, inputs, at)
            batches = {spec.name: _batch(arrays[spec.name], spec) for spec in inputs}
            counts = {name: len(batch) for name, batch in batches.items()}
            if len(set(counts.values())) > 1:
                raise InputError(f"{at}: every input needs the same number of samples. Received: {counts}.", code="data-count")
            if position == 0:  # the same words as for an .npz that does not fit
                from_stored(_stored(batches), inputs, where=at, limit=None)
            count = len(batches[inputs[0].name])
            taken = count if left is None else min(count, left)
            if isinstance(element, Mapping) and TRUTH in element and TRUTH not in batches:
                one_sample = batches[inputs[0].name].ndim > arrays[inputs[0].name].ndim
                batches[TRUTH] = _truth(element[TRUTH], count, f"{at}: {TRUTH!r}", one_sample=one_sample)
            if position and (TRUTH in batches) != (TRUTH in spool.files):
                raise InputError(
                    f"{at}: {TRUTH!r} is in some elements and not in others.", hint="Give it with every element, or with none.", code="data-labels"
                )
            spool.write({name: batch[:taken] for name, batch in batches.items()}, at)
            found = _classes(classes, count)
            labels += [found[:taken]] if found is not None else []
            if left is not None:
                left -= taken
                if left == 0:
                    break
        stored = spool.arrays()
    if not stored:
        raise InputError(f"{where}: there is no sample in it.", hint="A generator can be iterated only once: give a fresh one.", code="data-count")
    total = stored[inputs[0].name].shape[0]
    classes_of_all = np.concatenate(labels) if labels else np.zeros(0, np.int64)
    if len(classes_of_all) == total:
        stored[LABELS] = StoredArray(LABELS, (total,), classes_of_all.dtype, lambda count: classes_of_all[:count])
    return from_stored(stored, inputs, where=where, limit=None)


def _iterated(elements: Iterable[object], where: str) -> Iterator[object]:
    try:
        yield from elements
    except InputError:
        raise
    except Exception as error:  # the user's own code runs here, and may raise anything
        raise InputError(f"{where}: iterating it raised {type(error).__name__}: {_line(error)}.", code="data-unreadable") from error


def _parts(element: object, inputs: Sequence[TensorSpec], at: str) -> tuple[dict[str, np.ndarray], object]:
    """The arrays by input name, and what may be labels."""
    names = [spec.name for spec in inputs]
    labels: object = None
    if isinstance(element, Mapping):
        missing = [name for name in names if name not in element]
        if missing:
            raise InputError(
                f"{at}: no {missing[0]!r} for the model input of that name. Received: {', '.join(map(repr, element))}.",
                hint=ONE_ELEMENT,
                code="data-missing-input",
            )
        labels = next((element[name] for name in LABEL_NAMES if name in element and name not in names), None)
        return {name: as_array(element[name], f"{at}: {name!r}") for name in names}, labels
    if isinstance(element, tuple | list) and not _is_number(element):
        if len(element) == 2 and isinstance(element[0], Mapping | tuple | list) and not _is_number(element[0]):  # ((inputs...), labels)
            return _parts(element[0], inputs, at)[0], element[1]
        if len(element) not in (len(names), len(names) + 1):
            raise InputError(
                f"{at}: the model has {len(names)} inputs: {', '.join(names)}. Received: a tuple of {len(element)}.",
                hint=ONE_ELEMENT,
                code="data-missing-input",
            )
        labels = element[len(names)] if len(element) > len(names) else None
        return {name: as_array(value, f"{at}: {name!r}") for name, value in zip(names, element, strict=False)}, labels
    if len(names) != 1:
        raise InputError(
            f"{at}: the model has {len(names)} inputs: {', '.join(names)}. Received: {type(element).__name__} without names.",
            hint=ONE_ELEMENT,
            code="data-missing-input",
        )
    return {names[0]: as_array(element, at)}, None


def as_array(value: object, where: str) -> np.ndarray:
    """The array of a NumPy array, a PyTorch or TensorFlow tensor, or nested lists of numbers.

    Raises:
        InputError: it is none of these.
    """
    try:
        if hasattr(value, "detach"):  # a PyTorch tensor, maybe on a GPU or part of a graph
            value = value.detach().cpu()
        if hasattr(value, "numpy"):
            value = value.numpy()
        array = np.asarray(value)
    except Exception as error:  # whatever object it is, its methods may raise anything
        raise InputError(f"{where}: no array: {type(error).__name__}: {_line(error)}.", hint=ONE_ELEMENT, code="data-unreadable") from error
    if array.dtype.kind not in "biuf":
        raise InputError(f"{where}: no array of numbers. Received: {type(value).__name__} ({array.dtype}).", hint=ONE_ELEMENT, code="data-unreadable")
    return array


def _is_number(value: object) -> bool:
    """Whether a list holds plain numbers, so that it is an array itself."""
    return isinstance(value, tuple | list) and bool(value) and isinstance(value[0], int | float)


def _batch(array: np.ndarray, spec: TensorSpec) -> np.ndarray:
    """[samples, *sample shape]; what fits neither as a batch nor as a sample stays as it is and is refused with the reason."""
    one = spec.shape[1:] if has_batch_of_one(spec) else spec.shape
    if fits(array.shape[1:], one) and array.ndim:
        return array
    if fits(array.shape, one):
        return array[None]
    return array


def _truth(value: object, count: int, at: str, *, one_sample: bool) -> np.ndarray:
    """What is right for each sample of an element, [samples, ...]."""
    array = as_array(value, at)
    array = array[None] if one_sample else array
    if not array.ndim or len(array) != count:
        raise InputError(f"{at}: there are {count} samples in the element. Received: {list(array.shape)}.", code="data-count")
    return array


def _stored(arrays: Mapping[str, np.ndarray]) -> dict[str, StoredArray]:
    return {name: StoredArray(name, array.shape, array.dtype, _first(array)) for name, array in arrays.items()}


def _first(array: np.ndarray) -> Callable[[int], np.ndarray]:
    return lambda count: array[:count]


def _classes(labels: object, count: int) -> np.ndarray | None:
    """[count] integers, None for labels of another kind: boxes, masks and texts are no classes."""
    try:
        array = as_array(labels, "labels") if labels is not None else None
    except InputError:
        return None
    if array is None or array.dtype.kind not in "iu" or array.size != count or array.shape not in ((), (count,), (count, 1)):
        return None
    return array.reshape(-1).astype(np.int64)


class _Spool(Struct):
    """Files that take what the stream yields; what is mapped of them outlives their closing."""

    where: str
    closing: contextlib.ExitStack
    files: dict[str, IO[bytes]] = field(default_factory=dict)
    kinds: dict[str, tuple[tuple[int, ...], np.dtype[np.generic]]] = field(default_factory=dict)
    samples: int = 0
    bytes: int = 0

    def write(self, batches: Mapping[str, np.ndarray], at: str) -> None:
        for name, batch in batches.items():
            kind = (batch.shape[1:], batch.dtype)
            first = self.kinds.setdefault(name, kind)
            if kind != first:
                raise InputError(
                    f"{at}: {name!r} must be like in the elements before it, {first[1]} {list(first[0])}. Received: {kind[1]} {list(kind[0])}.",
                    hint="Bring all samples to one size and dtype: the TFLite file takes only one.",
                    code="data-shape",
                )
            self._reserve(batch.nbytes)
            if name not in self.files:
                self.files[name] = self.closing.enter_context(tempfile.TemporaryFile(prefix="bridge-"))  # noqa: SIM115  # the stack closes it
            self.files[name].write(np.ascontiguousarray(batch).data)
        self.samples += len(next(iter(batches.values())))

    def _reserve(self, count: int) -> None:
        self.bytes += count
        if self.bytes > MAX_BYTES or shutil.disk_usage(tempfile.gettempdir()).free - count < KEPT_FREE:
            raise InputError(
                f"{self.where}: {self.samples} samples take {self.bytes / 2**30:.1f} GiB, more than is kept in {tempfile.gettempdir()}.",
                hint="100 to 500 samples are enough: end the stream there, or give a limit.",
                code="data-unsafe",
            )

    def arrays(self) -> dict[str, StoredArray]:
        found = {}
        for name, file in self.files.items():
            file.flush()
            shape, dtype = self.kinds[name]
            full = (self.samples, *shape)
            empty = not np.prod(full)
            array = np.zeros(full, dtype) if empty else np.memmap(file, dtype, "r", 0, full)
            found[name] = StoredArray(name, full, dtype, _first(array))
        return found


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".")[:300]
