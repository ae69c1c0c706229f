"""Pairs ONNX tensors with TFLite tensors; a pair counts only when both runtimes agree on its values for the probe inputs."""

import functools
import itertools
import math
from collections.abc import Collection, Mapping

import numpy as np
from msgspec import Struct

from bridge.convert.proof import ORDINARY, Proof
from bridge.types import Evidence

MAX_RANK_FOR_ALL_PERMUTATIONS = 5
HEAD = 64  # elements compared before a whole tensor is
PIECE = 1 << 16  # elements that are summed up at a time


class Match(Struct, frozen=True):
    """A proved pair: `tflite.transpose(permutation).reshape(onnx shape)` equals the ONNX value at `sqnr_db`."""

    tflite_tensor: int
    permutation: tuple[int, ...]
    evidence: Evidence
    sqnr_db: float


class ValueIndex:
    """Finds TFLite tensors by what they contain.

    Args:
        names: TFLite tensor index -> its name.
        values: TFLite tensor index -> value [P, *shape], the leading axis being the probe inputs; in order of computation.
        moved: TFLite tensors that only hold the values of another one in another order or shape.
    """

    def __init__(self, names: Mapping[int, str], values: Mapping[int, np.ndarray], moved: Collection[int] = ()) -> None:
        self._values, self._moved = values, moved
        self._by_name = {name: index for index, name in names.items()}
        self._keys = np.fromiter(values, np.int64, len(values))
        prints = np.array([_fingerprint(value) for value in values.values()], np.float64).reshape(-1, 3)
        self._order = np.argsort(prints[:, 1], kind="stable")
        self._prints = prints[self._order]

    def find(self, name: str | None, value: np.ndarray, *, moves: bool = False, proof: Proof = ORDINARY) -> Match | None:
        """The counterpart of an ONNX tensor: the TFLite tensor of that name if the values agree, else the first computed one that agrees.

        onnx2tf likes to give the name of a Conv's output to a TRANSPOSE behind the CONV_2D. What computes is meant, so a moved tensor of the
        right name counts only if no tensor before it has the values.

        Args:
            name: name the tensor should have in the TFLite file; None when it has none.
            value: [P, *shape] from onnxruntime.
            moves: the ONNX node itself only moves data.
            proof: what agreement counts; its absolute error only for the tensor of that name.
        """
        named = self._by_name.get(name) if name is not None else None
        if named not in self._values:
            named = None
        if named is not None and (moves or named not in self._moved):
            found = self._prove(named, value, "name", proof)
            if found is not None:
                return found
        return self._search(value, Proof(proof.level_db)) or (None if named is None else self._prove(named, value, "name", proof))

    def _search(self, value: np.ndarray, proof: Proof) -> Match | None:
        if is_degenerate(value):
            return None  # equal to every other constant tensor: no evidence
        close = self._keys[self._close(_fingerprint(value), proof)]
        return next((found for index in close if (found := self._prove(int(index), value, "values", proof)) is not None), None)

    def _close(self, wanted: tuple[int, float, float], proof: Proof) -> np.ndarray:
        """Places of the values that a proof does not rule out by their size, energy and sum, in order of computation."""
        size, energy, total = wanted
        off = proof.energy_tolerance() * energy
        start, end = np.searchsorted(self._prints[:, 1], [energy - 2 * off, energy + 2 * off])
        sizes, energies, totals = self._prints[start:end].T
        close = (sizes == size) & (np.abs(energies - energy) <= off) & (np.abs(totals - total) <= proof.sum_tolerance(size, energy))
        return np.sort(self._order[start:end][close])

    def _prove(self, index: int, value: np.ndarray, evidence: Evidence, proof: Proof) -> Match | None:
        other = self._values[index]
        if other.size != value.size or (other.dtype.kind == "f") != (value.dtype.kind == "f"):
            return None
        flat = value.reshape(value.shape[0], -1)
        head, tolerance = flat[0, :HEAD], _tolerance(flat[0], proof.error)
        for permutation in permutations(other.shape[1:], value.shape[1:]):
            moved = other.transpose(0, *(axis + 1 for axis in permutation))
            if _differ(moved[0].flat[: head.size], head, tolerance):
                continue
            agreement = proof.agreement(flat, moved.reshape(flat.shape))
            if agreement is not None:
                return Match(index, permutation, evidence, agreement)
        return None


def is_degenerate(value: np.ndarray) -> bool:
    """Whether all elements are equal, so that values prove nothing."""
    return value.size == 0 or bool((value == value.reshape(-1)[0]).all())


@functools.lru_cache(1 << 10)  # a model has few shapes
def permutations(shape: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Axis orders of `shape` that may give `wanted` after a reshape, likely ones first.

    First those whose permuted shape equals `wanted` but for axes of size 1, then the others (a flattened counterpart). Axes of size 1 stay
    in front: where they stand does not change the order of the elements.
    """
    ones = tuple(axis for axis, size in enumerate(shape) if size == 1)
    rest = tuple(axis for axis, size in enumerate(shape) if size != 1)
    if len(rest) > MAX_RANK_FOR_ALL_PERMUTATIONS:
        return (tuple(range(len(shape))),)
    target = [size for size in wanted if size != 1]
    orders = [tuple(range(len(shape)))] + [ones + order for order in itertools.permutations(rest) if order != rest]
    return tuple(sorted(orders, key=lambda order: [shape[axis] for axis in order if shape[axis] != 1] != target))


def _fingerprint(value: np.ndarray) -> tuple[int, float, float]:
    """Number of elements, sum of the squares of the finite ones, and their sum: the same whatever the order of the axes."""
    flat, energy, total = value.reshape(-1), 0.0, 0.0
    for start in range(0, flat.size, PIECE):
        piece = flat[start : start + PIECE].astype(np.float64)
        squares = float(np.dot(piece, piece))
        if not math.isfinite(squares):
            piece = piece[np.isfinite(piece)]
            squares = float(np.dot(piece, piece))
        energy, total = energy + squares, total + float(piece.sum())
    return flat.size, energy, total


def _tolerance(flat: np.ndarray, error: float) -> float:
    """How far the first elements may be off before they rule an order of axes out; 0 for integers."""
    if flat.dtype.kind != "f":
        return 0.0
    step = max(1, flat.size // 4096)
    spread = float(np.abs(flat[::step]).max(initial=0.0))
    if step > 1 or not math.isfinite(spread):
        head = flat[:HEAD]
        spread = max(float(np.abs(head[np.isfinite(head)]).max(initial=0.0)), spread)
    return 0.05 * spread + HEAD * error + 1e-30


def _differ(head: np.ndarray, wanted: np.ndarray, tolerance: float) -> bool:
    """Whether the first elements already rule the order out; cheap, since it gathers only those."""
    if not tolerance:
        return not np.array_equal(head, wanted)
    with np.errstate(invalid="ignore"):
        if (np.abs(head - wanted) <= tolerance).all():
            return False
    # What is not finite has to be the same; most heads that differ are finite.
    return bool(np.isfinite(head).all() and np.isfinite(wanted).all()) or not np.allclose(head, wanted, rtol=0.0, atol=tolerance, equal_nan=True)
