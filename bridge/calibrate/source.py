"""Where samples come from, before the model that they are for is known."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from bridge.calibrate.callable_source import ABOUT, from_function
from bridge.calibrate.dataset import Dataset, from_arrays, from_stored, load
from bridge.calibrate.preprocessing import PREPROCESSINGS, Preprocessing, find_preprocessing
from bridge.calibrate.stream import from_stream
from bridge.errors import InputError, UsageError
from bridge.plugins import find_function
from bridge.types import TensorSpec


class _Open(Protocol):
    def __call__(self, inputs: tuple[TensorSpec, ...], /) -> Dataset: ...


class Calibration:
    """Samples for `convert`: read and checked when the model's inputs are known. Made by one of the `from_...` methods."""

    def __init__(self, open_for: _Open) -> None:
        self._open_for = open_for
        self._peeked: Dataset | None = None

    @classmethod
    def find(cls, source: Path | str, *, preprocess: str | Path | None = None) -> Self:
        """Samples as the command line names them: a file, a folder of pictures (and how they are preprocessed), or `module:function`.

        Args:
            source: path of an `.npz` or `.npy` file or of a folder, or `module:function`.
            preprocess: of a folder of pictures: a name such as `imagenet`, or a TOML file.

        Returns:
            The samples, not yet read.

        Raises:
            UsageError: a folder comes without a preprocessing.
            InputError: the preprocessing or the function does not exist.
        """
        path = Path(source)
        if path.is_dir():
            if preprocess is None:
                raise UsageError(
                    f"{path}: pictures need a preprocessing, the one that the model was trained with.",
                    hint=f"--preprocess {', '.join(PREPROCESSINGS)}, or a .toml file.",
                    code="data-pictures",
                )
            return cls.from_images(path, preprocess)
        if ":" in str(source) and not path.exists():
            return cls.from_callable(str(source))
        return cls.from_npz(path)

    @classmethod
    def from_npz(cls, path: Path | str) -> Self:
        """Samples in an `.npz` file with one array [N, *input shape] per model input, or an `.npy` file for a model with one input.

        Args:
            path: of the file; it is read when the inputs of the model are known.

        Returns:
            The samples, not yet read.
        """
        return cls(lambda inputs: load(Path(path), inputs))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Samples in memory.

        Args:
            arrays: named like the model's inputs, [N, *input shape] each; `labels` [N] may be among them.

        Returns:
            The samples, not yet checked.
        """
        kept = dict(arrays)
        return cls(lambda inputs: from_arrays(kept, inputs))

    @classmethod
    def from_images(cls, folder: Path | str, preprocess: str | Path | Preprocessing, *, limit: int | None = None) -> Self:
        """Pictures in a folder, decoded one by one.

        Args:
            folder: with pictures, or a folder for each class.
            preprocess: a name such as `imagenet`, a TOML file, or the values themselves.
            limit: at most so many samples; None: all.

        Returns:
            The samples, not yet read.

        Raises:
            InputError: there is no such preprocessing.
        """
        steps = preprocess if isinstance(preprocess, Preprocessing) else find_preprocessing(preprocess)

        def open_for(inputs: tuple[TensorSpec, ...]) -> Dataset:
            from bridge.calibrate.images import open_images  # Pillow, which only this needs

            if len(inputs) != 1:
                names = ", ".join(spec.name for spec in inputs)
                raise InputError(
                    f"{folder}: pictures are for a model with one input. Received: {names}.", hint="Give the samples as .npz.", code="data-pictures"
                )
            return from_stored(open_images(Path(folder), steps, inputs[0]), inputs, where=str(folder), limit=limit)

        return cls(open_for)

    @classmethod
    def from_callable(cls, function: str | Callable[[], object], *, limit: int | None = None) -> Self:
        """What a function without arguments returns: arrays [N, ...] by input name, or something to iterate.

        Args:
            function: itself, or `module:function`.
            limit: at most so many samples; None: all.

        Returns:
            The samples, not yet read.

        Raises:
            InputError: there is no such function.
        """
        found = find_function(function, about=ABOUT) if isinstance(function, str) else function
        where = function if isinstance(function, str) else getattr(function, "__qualname__", type(function).__name__)
        return cls(lambda inputs: from_function(found, inputs, where=where, limit=limit))

    @classmethod
    def from_iterable(cls, elements: Iterable[object], *, limit: int | None = None) -> Self:
        """Anything that yields arrays, tuples (inputs..., labels) or dicts, each one sample or a batch; read once, kept in a temporary file.

        Args:
            elements: what is iterated.
            limit: at most so many samples; None: all.

        Returns:
            The samples, not yet read.
        """
        return cls._from_stream(elements, type(elements).__name__, limit)

    @classmethod
    def from_dataloader(cls, loader: Iterable[object], *, limit: int | None = None) -> Self:
        """A PyTorch DataLoader; its batches are split into samples.

        Args:
            loader: of tensors, tuples (inputs..., labels) or dicts.
            limit: at most so many samples; None: all.

        Returns:
            The samples, not yet read.
        """
        return cls._from_stream(loader, "DataLoader", limit)

    @classmethod
    def from_tf_dataset(cls, dataset: Iterable[object], *, limit: int | None = None) -> Self:
        """A tf.data.Dataset, batched or not; in the layout of the model's own input, as all samples.

        Args:
            dataset: of tensors, tuples (inputs..., labels) or dicts.
            limit: at most so many samples; None: all.

        Returns:
            The samples, not yet read.
        """
        return cls._from_stream(dataset, "tf.data.Dataset", limit)

    @classmethod
    def _from_stream(cls, elements: Iterable[object], where: str, limit: int | None) -> Self:
        if isinstance(elements, str | bytes | Mapping) or not isinstance(elements, Iterable):
            raise UsageError(f"Samples are iterated. Received: {type(elements).__name__}.", hint="from_arrays takes arrays by name.")
        return cls(lambda inputs: from_stream(elements, inputs, where=where, limit=limit))

    def dataset(self, inputs: tuple[TensorSpec, ...]) -> Dataset:
        """The samples for a model with these inputs.

        Args:
            inputs: of the model.

        Returns:
            The samples.

        Raises:
            InputError: they cannot be read, or do not fit the inputs.
        """
        peeked, self._peeked = self._peeked, None
        return peeked if peeked is not None and peeked.inputs == tuple(inputs) else self._open_for(inputs)

    def peek(self, inputs: tuple[TensorSpec, ...]) -> Dataset:
        """The same, to look at before it is taken: kept for the next `dataset` of the inputs that it has, since some sources can be read only once.

        Args:
            inputs: of the model; a symbolic size takes what the samples have.

        Returns:
            The samples.

        Raises:
            InputError: as `dataset`.
        """
        self._peeked = self._open_for(inputs)
        return self._peeked
