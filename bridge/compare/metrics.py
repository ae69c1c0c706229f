"""Error measures over any number of samples: sums that stream, and what is computed from them.

Undefined cases are settled here once: equal tensors have `inf` dB, a reference without signal has `-inf` dB unless the candidate is equal,
elements whose reference is NaN or infinite are left out, a candidate that is not finite where the reference is has an infinite error, and
a tensor without elements counts as equal.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import numpy as np
from msgspec import Struct, structs

from bridge.compare.forms import Form

PIECE = 1 << 16  # elements worked on at a time: they stay in the processor's cache, and float32 sums of so few are exact to 1e-6
SMALLEST_FLOAT32_SUM = 1e-20  # squares below may have vanished; such pieces are summed in float64
FLOAT32_TYPES = frozenset(map(np.dtype, ("float32", "float16", "int8", "uint8", "int16", "uint16", "bool")))  # float32 holds their values exactly
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
COUNT, SIGNAL, NOISE, ENERGY, CROSS, ABSOLUTE, LARGEST = range(7)  # the fields of `ErrorSums`


class ErrorSums(Struct):
    """Sums over elements of reference r and candidate c.

    Attributes:
        count: elements.
        signal: sum of r^2.
        noise: sum of (r - c)^2.
        energy: sum of c^2.
        cross: sum of r c.
        absolute: sum of |r - c|.
        largest: greatest |r - c|.
    """

    count: int = 0
    signal: float = 0.0
    noise: float = 0.0
    energy: float = 0.0
    cross: float = 0.0
    absolute: float = 0.0
    largest: float = 0.0

    def add(self, reference: np.ndarray, candidate: np.ndarray, form: Form | None = None, *, noise_only: bool = False) -> None:
        """Takes in one value.

        Args:
            reference: any numeric type and shape.
            candidate: as many elements in the same order.
            form: what the candidate's integers stand for, None when they are the values themselves.
            noise_only: leave energy, cross, absolute and largest as they are, for less than half the work.
        """
        flat, other = reference.reshape(-1), candidate.reshape(-1)
        if flat.size != other.size:
            raise ValueError(f"{flat.size} elements cannot be compared with {other.size}")
        dtype = FLOAT32 if flat.dtype in FLOAT32_TYPES and (form is not None or other.dtype in FLOAT32_TYPES) else FLOAT64
        with np.errstate(over="ignore", invalid="ignore"):
            for start in range(0, flat.size, PIECE):
                piece = other[start : start + PIECE]
                self._add_piece(
                    flat[start : start + PIECE].astype(dtype, copy=False),
                    piece.astype(dtype, copy=False) if form is None else form.real(piece),
                    noise_only,
                )

    def merge(self, other: "ErrorSums") -> None:
        """Takes in the sums of other samples."""
        self.count += other.count
        self.signal += other.signal
        self.noise += other.noise
        self.energy += other.energy
        self.cross += other.cross
        self.absolute += other.absolute
        self.largest = max(self.largest, other.largest)

    def _add_piece(self, r: np.ndarray, c: np.ndarray, noise_only: bool) -> None:
        error = r - c
        noise, signal = float(np.dot(error, error)), float(np.dot(r, r))
        energy = 0.0 if noise_only else float(np.dot(c, c))
        if not (signal > SMALLEST_FLOAT32_SUM and signal + energy + noise < math.inf):
            self.add_carefully(r, c)
            return
        self.count += r.size
        self.signal += signal
        self.noise += noise
        if not noise_only:
            np.abs(error, out=error)
            self.energy += energy
            self.cross += float(np.dot(r, c))
            self.absolute += float(np.add.reduce(error))
            self.largest = max(self.largest, float(np.maximum.reduce(error)))

    def add_carefully(self, r: np.ndarray, c: np.ndarray) -> None:
        """Takes in flat values in float64, with the elements that are not finite set aside."""
        usable = np.isfinite(r)
        r, c = r[usable].astype(np.float64), c[usable].astype(np.float64)
        finite = np.isfinite(c)
        if not finite.all():
            self.noise = self.absolute = self.largest = math.inf
            c = np.where(finite, c, 0.0)
        error = np.abs(r - c)
        self.count += r.size
        self.signal += float(np.dot(r, r))
        self.energy += float(np.dot(c, c))
        self.cross += float(np.dot(r, c))
        self.noise += float(np.dot(error, error))
        self.absolute += float(error.sum())
        self.largest = max(self.largest, float(error.max(initial=0.0)))


class SumsOfMany:
    """`ErrorSums` of many small tensors of one size at once, to the same figures.

    Args:
        sums: of each tensor, which these go on from.
    """

    def __init__(self, sums: Sequence[ErrorSums]) -> None:
        self._sums = np.asarray([structs.astuple(one) for one in sums], np.float64)  # [tensors, fields]

    def add(self, reference: np.ndarray, candidate: np.ndarray, *, noise_only: bool = False) -> np.ndarray:
        """Takes in one value of each.

        Args:
            reference: [tensors, elements] float32, at most `PIECE` elements.
            candidate: likewise.
            noise_only: as for `ErrorSums.add`.

        Returns:
            What is added, [tensors, fields of ErrorSums].
        """
        found = np.zeros(self._sums.shape)
        found[:, COUNT] = reference.shape[1]
        with np.errstate(over="ignore", invalid="ignore"):
            error = reference - candidate
            found[:, SIGNAL], found[:, NOISE] = np.vecdot(reference, reference), np.vecdot(error, error)
            if not noise_only:
                np.abs(error, out=error)
                found[:, ENERGY], found[:, CROSS] = np.vecdot(candidate, candidate), np.vecdot(reference, candidate)
                found[:, ABSOLUTE], found[:, LARGEST] = np.add.reduce(error, axis=1), np.maximum.reduce(error, axis=1)
            usual = (found[:, SIGNAL] > SMALLEST_FLOAT32_SUM) & (found[:, SIGNAL] + found[:, ENERGY] + found[:, NOISE] < math.inf)
            for place in np.flatnonzero(~usual).tolist():
                one = ErrorSums()
                one.add_carefully(reference[place], candidate[place])
                found[place] = structs.astuple(one)
        self._sums[:, :LARGEST] += found[:, :LARGEST]
        np.maximum(self._sums[:, LARGEST], found[:, LARGEST], out=self._sums[:, LARGEST])
        return found

    def of_each(self) -> list[ErrorSums]:
        """In the order of the tensors."""
        return [ErrorSums(int(count), *rest) for count, *rest in self._sums.tolist()]


def sqnr_db(sums: ErrorSums) -> float:
    """Signal to quantization noise ratio, 10 log10(sum r^2 / sum (r - c)^2)."""
    if sums.noise == 0.0:
        return math.inf
    if sums.signal == 0.0 or math.isinf(sums.noise):
        return -math.inf
    return 10.0 * (math.log10(sums.signal) - math.log10(sums.noise))


def cosine(sums: ErrorSums) -> float:
    """Cosine of the angle between reference and candidate, -1..1; 1 when both are all zero, 0 when one is."""
    if sums.signal == 0.0 or sums.energy == 0.0:
        return 1.0 if sums.signal == sums.energy else 0.0
    if sums.noise == 0.0:
        return 1.0
    return max(-1.0, min(1.0, sums.cross / math.sqrt(sums.signal) / math.sqrt(sums.energy)))


def max_abs(sums: ErrorSums) -> float:
    """Greatest absolute error, in real units."""
    return sums.largest


def mean_abs(sums: ErrorSums) -> float:
    """Mean absolute error, in real units."""
    return sums.absolute / sums.count if sums.count else 0.0


def rmse(sums: ErrorSums) -> float:
    """Root of the mean squared error, in real units; over a tensor's scale, 1/sqrt(12) = 0.29 is what ideal rounding leaves."""
    return math.sqrt(sums.noise / sums.count) if sums.count else 0.0


class Metric(Struct, frozen=True):
    """A measure: its name in reports, its unit, which direction is better, and how it follows from the sums."""

    name: str
    unit: Literal["dB", "", "real"]
    better: Literal["higher", "lower"]
    compute: Callable[[ErrorSums], float]


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            Metric("sqnr_db", "dB", "higher", sqnr_db),
            Metric("cosine", "", "higher", cosine),
            Metric("max_abs", "real", "lower", max_abs),
            Metric("mean_abs", "real", "lower", mean_abs),
            Metric("rmse", "real", "lower", rmse),
        )
    }
)
