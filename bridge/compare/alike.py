"""Takes in small tensors of one shape together: a call of NumPy takes longer than its work on one of them. The figures are those of `Row.add`."""

from collections.abc import Mapping, Sequence

import numpy as np

from bridge.compare import metrics
from bridge.compare.candidates import in_layout
from bridge.compare.channels import Usage
from bridge.compare.forms import real_of
from bridge.compare.metrics import FLOAT32, FLOAT32_TYPES, ErrorSums
from bridge.compare.rows import NO_TENSOR, Row, Values

SMALL = 1 << 12  # elements; with more there is nothing to gain
STACKED = 1 << 16  # elements worked on at a time, which stay in the processor's cache

type _Arrays = tuple[np.ndarray, ...]  # the ONNX value, those of the float file and of the quantized file, and that of the node alone where it counts


def add_rows(rows: Sequence[Row], name: str, reference: Mapping[str, np.ndarray], real: Values, stored: Values, alone: Values) -> None:
    """Takes in one sample of many rows, as `Row.add` does of each; `reference` has the ONNX values by their names.

    Raises:
        ToolError: a file writes another shape than it declares.
    """
    alike: dict[object, list[tuple[Row, _Arrays]]] = {}
    for row in rows:
        arrays = _arrays(row, reference, real, stored, alone)
        if arrays is None:
            row.add(name, reference[row.pair.tensor], real, stored, alone)
        else:
            kind = row.pair.permutation, row.form is None, *((array.shape, array.dtype) for array in arrays)
            alike.setdefault(kind, []).append((row, arrays))
    for group in alike.values():
        most = max(1, STACKED // group[0][1][0].size)
        for start in range(0, len(group), most):
            chosen = group[start : start + most]
            if len(chosen) == 1:
                (row, arrays) = chosen[0]
                row.add(name, arrays[0], real, stored, alone)
            else:
                _add([row for row, _ in chosen], name, *(np.stack(arrays) for arrays in zip(*(arrays for _, arrays in chosen), strict=True)))


def _arrays(row: Row, reference: Mapping[str, np.ndarray], real: Values, stored: Values, alone: Values) -> _Arrays | None:
    """The values of a row that both files have and that are small; None for any other row."""
    tensor = NO_TENSOR if row.quantized_tensor is None else row.quantized_tensor
    found = (reference[row.pair.tensor], real.get(row.float_tensor), stored.get(tensor), *((alone.get(tensor),) if row.own else ()))
    arrays = tuple(array for array in found if array is not None)
    size = arrays[0].size
    small = len(arrays) == len(found) and 0 < size <= SMALL
    return arrays if small and all(array.size == size and array.dtype in FLOAT32_TYPES for array in arrays) else None


def _add(rows: Sequence[Row], name: str, reference: np.ndarray, real: np.ndarray, stored: np.ndarray, alone: np.ndarray | None = None) -> None:
    """Takes in one sample, [rows, ...] each."""
    permutation = (0, *(axis + 1 for axis in rows[0].pair.permutation))
    aligned = _flat(in_layout(reference, real.shape, permutation, tensor=rows[0].pair.tensor))
    forms = [row.form for row in rows if row.form is not None]
    metrics.add_alike([row.conversion_sums for row in rows], aligned, _flat(real), noise_only=True)
    sums = [ErrorSums() for _ in rows]
    metrics.add_alike(sums, aligned, _flat(real_of(forms, stored) if forms else stored))
    for row, one in zip(rows, sums, strict=True):
        row.inherited_sums.merge(one)
        row.rank(name, metrics.sqnr_db(one))
    if alone is None:
        return
    metrics.add_alike([row.own_sums for row in rows], _flat(real), _flat(real_of(forms, alone) if forms else alone), noise_only=True)
    if forms:
        lowest, highest = _flat(real).min(axis=1).tolist(), _flat(real).max(axis=1).tolist()
        for row, value, low, high in zip(rows, real, lowest, highest, strict=True):
            row.clip(value, alone.dtype, low, high)
        Usage.add_alike([row.usage for row in rows], real, alone)


def _flat(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1).astype(FLOAT32, copy=False)
