"""Where samples come from, before the model that they are for is known."""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np

from bridge.calibrate.dataset import Dataset, from_arrays, load
from bridge.types import TensorSpec


class Calibration:
    """Samples for `convert`: read and checked when the model's inputs are known.

    Args:
        data: a `.npz` or `.npy` file, or arrays named like the model's inputs, [N, *input shape] each; `labels` [N] may be among them.
    """

    def __init__(self, data: Path | Mapping[str, np.ndarray]) -> None:
        self._data = data

    @classmethod
    def from_npz(cls, path: Path | str) -> Self:
        """Samples in a file, one array per model input."""
        return cls(Path(path))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Samples in memory."""
        return cls(dict(arrays))

    def dataset(self, inputs: tuple[TensorSpec, ...]) -> Dataset:
        """The samples for a model with these inputs.

        Raises:
            InputError: the file cannot be read, or the samples do not fit the inputs.
        """
        return load(self._data, inputs) if isinstance(self._data, Path) else from_arrays(self._data, inputs)
