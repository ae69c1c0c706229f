"""How well two runs agree on a tensor."""

import math

import numpy as np


def agreement_db(reference: np.ndarray, candidate: np.ndarray) -> float:
    """SQNR in dB of float tensors, `inf` for equal ones; for integer and boolean tensors `inf` if equal, else `-inf`.

    Non-finite elements have to be the same in both and are left out of the sums.
    """
    if reference.dtype.kind != "f":
        return math.inf if np.array_equal(reference, candidate) else -math.inf
    finite = np.isfinite(reference)
    if not finite.all():
        if not np.array_equal(reference[~finite], candidate[~finite], equal_nan=True):
            return -math.inf
        reference, candidate = reference[finite], candidate[finite]
    noise = _energy(np.subtract(reference, candidate, dtype=np.float64))
    signal = _energy(reference.astype(np.float64))  # one copy of large tensors in float64 at a time
    if noise == 0.0:
        return math.inf
    return 10.0 * math.log10(signal / noise) if signal > 0.0 and math.isfinite(noise) else -math.inf


def _energy(values: np.ndarray) -> float:
    """Sum of the squares, which are left in place of the values."""
    return float(np.square(values, out=values).sum())
