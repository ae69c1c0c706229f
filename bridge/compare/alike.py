"""Takes in small tensors of one shape together: a call of NumPy takes longer than its work on one of them. The figures are those of `Row.add`."""

from collections.abc import Mapping, Sequence

import numpy as np

from bridge.compare.candidates import in_layout
from bridge.compare.channels import UsageOfMany
from bridge.compare.forms import Form, real_of
from bridge.compare.metrics import FLOAT32, FLOAT32_TYPES, NOISE, SIGNAL, ErrorSums, SumsOfMany, sqnr_db
from bridge.compare.rows import NO_TENSOR, Row, Values

SMALL = 1 << 12  # elements; with more there is nothing to gain
STACKED = 1 << 16  # elements worked on at a time, which stay in the processor's cache

type _Arrays = tuple[np.ndarray | None, ...]  # the ONNX value, those of the float file, of the quantized file, and of the node alone where it counts


class Alike:
    """Rows that take in sample after sample; which of them go together is found once, as long as no shape changes. `settle` gives them their sums."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows
        self._names = [row.pair.tensor for row in rows]
        self._float = [row.float_tensor for row in rows]
        self._quantized = [NO_TENSOR if row.quantized_tensor is None else row.quantized_tensor for row in rows]
        self._alone = [tensor if row.own else NO_TENSOR for row, tensor in zip(rows, self._quantized, strict=True)]
        self._kinds: list[list[object]] = []
        self._groups: list[tuple[Sequence[int], _Group]] = []
        self._single: Sequence[int] = range(len(rows))

    def add(self, name: str, reference: Mapping[str, np.ndarray], real: Values, stored: Values, alone: Values) -> None:
        """Takes in one sample, as `Row.add` does; `reference` has the ONNX values by their names.

        Raises:
            ToolError: a file writes another shape than it declares.
        """
        sides: list[list[np.ndarray | None]] = [
            [reference[tensor] for tensor in self._names],
            *(list(map(values.get, tensors)) for values, tensors in ((real, self._float), (stored, self._quantized), (alone, self._alone))),
        ]
        kinds: list[list[object]] = [[None if one is None else (one.shape, one.dtype) for one in side] for side in sides]
        if kinds != self._kinds:
            self.settle()
            self._kinds = kinds
            self._plan(list(zip(*sides, strict=True)))
        for places, group in self._groups:
            group.add(name, *(_stacked(side, places) for side in (sides if group.own else sides[:-1])))
        for place in self._single:
            self._rows[place].add(name, reference[self._names[place]], real, stored, alone)

    def settle(self) -> None:
        """Gives the rows what was summed up for them; before the first sample, and after it twice, nothing."""
        for _, group in self._groups:
            group.settle()
        self._kinds, self._groups = [], []

    def _plan(self, values: Sequence[_Arrays]) -> None:
        alike: dict[object, list[int]] = {}
        single: list[int] = []
        for place, (row, arrays, *kind) in enumerate(zip(self._rows, values, *self._kinds, strict=True)):
            if _small(arrays if row.own else arrays[:-1]):
                alike.setdefault((row.pair.permutation, row.form is None, *kind), []).append(place)
            else:
                single.append(place)
        for places in alike.values():
            value = values[places[0]][-1 if self._rows[places[0]].own else 0]
            assert value is not None
            most = max(1, STACKED // value.size)
            for chosen in (places[start : start + most] for start in range(0, len(places), most)):
                if len(chosen) == 1:
                    single += chosen
                else:
                    self._groups.append((chosen, _Group([self._rows[place] for place in chosen], value.dtype)))
        self._single = single


def _small(arrays: _Arrays) -> bool:
    """Whether a row has all its values, and few."""
    size = 0 if arrays[0] is None else arrays[0].size
    return 0 < size <= SMALL and all(one is not None and one.ndim and one.size == size and one.dtype in FLOAT32_TYPES for one in arrays)


def _stacked(side: Sequence[np.ndarray | None], places: Sequence[int]) -> np.ndarray:
    """Values of one shape, [places, ...]; in half the time of `np.stack`."""
    values = [one for place in places if (one := side[place]) is not None]
    return np.concatenate(values).reshape(len(places), *values[0].shape)


class _Group:
    """Rows of one kind.

    Args:
        rows: of them, two at least.
        dtype: of what their nodes compute alone, where their own error counts.
    """

    def __init__(self, rows: Sequence[Row], dtype: np.dtype[np.generic]) -> None:
        self.own = rows[0].own
        self._rows, self._forms = rows, [row.form for row in rows if row.form is not None]
        self._conversion, self._inherited, self._own = (
            SumsOfMany(sums) for sums in zip(*((row.conversion_sums, row.inherited_sums, row.own_sums) for row in rows), strict=True)
        )
        self._usage = UsageOfMany(len(rows))
        self._limits = np.asarray([form.limits(dtype) for form in self._forms]) if self.own and self._forms else np.zeros(0)

    def add(self, name: str, reference: np.ndarray, real: np.ndarray, stored: np.ndarray, alone: np.ndarray | None = None) -> None:
        """Takes in one sample, [rows, ...] each."""
        pair = self._rows[0].pair
        aligned = _flat(in_layout(reference, real.shape, (0, *(axis + 1 for axis in pair.permutation)), tensor=pair.tensor))
        self._conversion.add(aligned, _flat(real), noise_only=True)
        sample = self._inherited.add(aligned, _flat(_real(self._forms, stored)))
        for row, signal, noise in zip(self._rows, sample[:, SIGNAL].tolist(), sample[:, NOISE].tolist(), strict=True):
            row.rank(name, sqnr_db(ErrorSums(signal=signal, noise=noise)))
        if alone is None:
            return
        self._own.add(_flat(real), _flat(_real(self._forms, alone)), noise_only=True)
        if self._forms:
            lowest, highest = _flat(real).min(axis=1).astype(np.float64), _flat(real).max(axis=1).astype(np.float64)
            for place in np.flatnonzero((lowest < self._limits[:, 0]) | (highest > self._limits[:, 1])).tolist():
                self._rows[place].clip(real[place], alone.dtype, float(lowest[place]), float(highest[place]))
            self._usage.add(real, alone)

    def settle(self) -> None:
        """Gives the rows their sums."""
        sums = (self._conversion.of_each(), self._inherited.of_each(), self._own.of_each())
        for row, *found in zip(self._rows, *sums, strict=True):
            row.conversion_sums, row.inherited_sums, row.own_sums = found
        self._usage.settle([row.usage for row in self._rows])


def _real(forms: Sequence[Form], stored: np.ndarray) -> np.ndarray:
    return real_of(forms, stored) if forms else stored


def _flat(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1).astype(FLOAT32, copy=False)
