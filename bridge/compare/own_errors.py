"""What every node loses by itself, in the figure that rules ask for: the typical channel counts, not only the loudest one."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from msgspec import Struct, field

from bridge.compare import attribution
from bridge.compare.attribution import Cut, Rewritten
from bridge.compare.candidates import open_exposed
from bridge.compare.forms import feeder, real_of
from bridge.compare.rows import Row, plan_rows
from bridge.compare.samples import Samples, spread
from bridge.compare.value_numbers import ValueNumbers
from bridge.tflite import model as tflite
from bridge.types import ConvertedModel, NodeFacts

MIN_ELEMENTS = 64  # per channel, for a variance that says something
STACKED = 1 << 16  # elements that are worked on at a time: a call of NumPy takes longer than its work on a small tensor


class ChannelSums(Struct):
    """Sums per channel (the last axis) over all samples, [tensors, C] for tensors of one shape.

    Attributes:
        count: elements of a channel.
        total: sum of the reference.
        squares: sum of its squares.
        noise: sum of the squared errors.
    """

    count: int = 0
    total: np.ndarray | float = 0.0
    squares: np.ndarray | float = 0.0
    noise: np.ndarray | float = 0.0

    def add(self, reference: np.ndarray, candidate: np.ndarray) -> None:
        """Takes in one sample, [tensors, ..., C]; what has less than two axes is one channel."""
        channels = reference.shape[-1] if reference.ndim > 2 else 1
        r = reference.reshape(len(reference), -1, channels).astype(np.float64)
        error = r - candidate.reshape(r.shape)
        self.count += r.shape[1]
        self.total = self.total + np.add.reduce(r, axis=1)
        self.squares = self.squares + np.add.reduce(np.multiply(r, r, out=r), axis=1)
        self.noise = self.noise + np.add.reduce(np.multiply(error, error, out=error), axis=1)

    def merge(self, other: "ChannelSums") -> None:
        """Takes in what was summed up of the same tensors elsewhere."""
        self.count += other.count
        self.total, self.squares, self.noise = self.total + other.total, self.squares + other.squares, self.noise + other.noise

    def alone(self, place: int) -> "ChannelSums":
        """Those of one tensor."""
        return ChannelSums(self.count, *(np.asarray(sums)[place : place + 1] for sums in (self.total, self.squares, self.noise)))

    def sqnr_db(self) -> list[float]:
        """Of each tensor, SQNR in dB of the whole or of its median channel, whichever is less; signal is what varies within a channel.

        The mean of a channel says nothing about what the network sees in it: the first layer of a YOLOX keeps 24 dB by plain SQNR and 12 dB
        by this. With too few elements per channel only the whole tensor counts.
        """
        total, squares, noise = (np.asarray(sums, np.float64) for sums in (self.total, self.squares, self.noise))
        noises = noise.sum(axis=1).tolist()
        if self.count < MIN_ELEMENTS:
            around = squares.sum(axis=1) - total.sum(axis=1) ** 2 / (self.count * total.shape[1])
            return list(map(_decibel, np.maximum(around, 0.0).tolist(), noises))
        varying = np.maximum(squares - np.square(total) / self.count, 0.0)
        alive = varying > 1e-12 * squares
        whole = list(map(_decibel, varying.sum(axis=1).tolist(), noises))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.where(noise == 0.0, np.inf, varying / noise)
        ratios[~(ratios > 0.0)] = 0.0
        return [min(one, _median_db(of[counts])) if counts.any() else one for one, of, counts in zip(whole, ratios, alive, strict=True)]


type _Sums = dict[tuple[int, ...], ChannelSums]  # places of the rows that were summed up together


class OwnErrors(Struct, frozen=True):
    """What the nodes lose by themselves.

    Attributes:
        sqnr_db: `NodeFacts.name` -> SQNR in dB of the node's operators alone, as `ChannelSums.sqnr_db`; the worst of its tensors.
        reduced: nodes that compute in less than float32, as `attribution.reduced`.
        chained: float nodes whose error is that of the float node before them and their own, as `attribution.chained`.
    """

    sqnr_db: Mapping[str, float]
    reduced: frozenset[str] = frozenset()
    chained: frozenset[str] = frozenset()


class Seen(Struct):
    """What is known of values, by their numbers, from files of one float file that were measured on the same samples.

    Attributes:
        numbers: of all of them.
        real: tensor of the float file -> its number.
        finite: value of the float file -> whether it is finite.
        sqnr_db: value of the float file, and what a node makes of it alone -> the error.
    """

    numbers: ValueNumbers = field(default_factory=ValueNumbers)
    real: dict[int, int] = field(default_factory=dict)
    finite: dict[int, bool] = field(default_factory=dict)
    sqnr_db: dict[tuple[int, int], float] = field(default_factory=dict)

    def error(self, pair: tuple[int, int]) -> float | None:
        """What is known of a pair; a node that computes what the float file does loses nothing, but what is not finite has no error."""
        real, alone = pair
        if real == alone and real in self.finite:
            return math.inf if self.finite[real] else -math.inf
        return self.sqnr_db.get(pair)


def own_errors(converted: ConvertedModel, quantized: Rewritten, samples: Samples, *, count: int, threads: int, seen: Seen | None = None) -> OwnErrors:
    """Measures every node on its own, on the real kernels.

    A float node that reads integer tensors has an error too: that of their rounding.

    Args:
        converted: the float file.
        quantized: the quantized file; left as it is.
        samples: calibration data.
        count: at most so many of them, spread evenly.
        threads: of each run.
        seen: from earlier calls that differ in `quantized` alone; learns what is measured.

    Raises:
        ToolError: a file does not run.
    """
    seen = seen or Seen()
    float_model, (quantized_model, outcomes) = tflite.grown(tflite.read_once(converted.path)), quantized
    pairs = attribution.counterparts(float_model, quantized_model, outcomes)
    rows = [row for row in plan_rows(float_model, quantized_model, converted.tensor_map, pairs) if row.own]
    if not rows:
        return OwnErrors({})
    reduced = attribution.reduced(quantized_model, pairs, converted.tensor_map.owners, outcomes)
    chained = attribution.chained(quantized_model, pairs, converted.tensor_map.owners, reduced)
    shift = len(tflite.main_graph(float_model).tensors)
    cut = Cut(float_model, quantized_model, pairs, converted.tensor_map.owners, chained)
    operators, computed = cut.lay_out(), len(tflite.main_graph(float_model).operators)
    seen.real = seen.real or seen.numbers.of(float_model, operators[:computed])
    numbers = seen.numbers.of(float_model, operators[computed:], seen.real)
    values = [(numbers[row.float_tensor], numbers[cut.place(row.quantized_tensor)]) for row in rows if row.quantized_tensor is not None]
    fresh = {value: row for row, value in zip(rows, values, strict=True) if seen.error(value) is None}
    feed, uncut = feeder(float_model, converted.tensor_map.inputs), cut.uncut
    if fresh:
        # All float tensors are shown, whichever are looked at: what is shown decides what a delegate makes one of.
        real = list(dict.fromkeys(row.float_tensor for row in rows))
        own = list(dict.fromkeys(row.quantized_tensor for (one, other), row in fresh.items() if one != other and row.quantized_tensor is not None))
        content, shown = cut.file(real, own), [*real, *(tensor + shift for tensor in own)]
        looked_at = {row.float_tensor for row in fresh.values()}
        places = [place for place, tensor in enumerate(shown) if tensor in looked_at or place >= len(real)]
        del float_model, cut  # before LiteRT takes as much
        chosen = [samples[position] for position in spread(len(samples), count)]
        interpreter = open_exposed(content, feed(chosen[0]), what="the float file", threads=threads).interpreter
        _measure(
            fresh,
            (dict(zip([shown[place] for place in places], interpreter.run_views(feed(sample), places), strict=True)) for sample in chosen),
            shift,
            seen,
        )
    found: dict[str, float] = {}
    for row, value in zip(rows, values, strict=True):
        error = seen.error(value)
        if error is not None and row.owner is not None and row.owner not in uncut:
            found[row.owner] = min(found.get(row.owner, math.inf), error)
    return OwnErrors(found, reduced, chained)


def _measure(fresh: Mapping[tuple[int, int], Row], runs: Iterable[dict[int, np.ndarray]], shift: int, seen: Seen) -> None:
    """What there is to know of rows by the numbers of their values, from runs that show them; where the numbers are the same only whether it is finite."""
    alike = {real: row.float_tensor for (real, alone), row in fresh.items() if real == alone}
    numbers, rows = zip(*[(value, row) for value, row in fresh.items() if value[0] != value[1]], strict=True) if len(alike) < len(fresh) else ((), ())
    sums: _Sums = {}
    groups = _Groups(rows, shift)
    seen.finite |= dict.fromkeys(alike, True)
    for values in runs:
        for real, tensor in alike.items():
            seen.finite[real] = seen.finite[real] and _is_finite(values[tensor])
        groups.add_sample(sums, values)
        values.clear()
    for places, one in _settled(sums).items():
        for place, error, squares in zip(places, one.sqnr_db(), np.asarray(one.squares), strict=True):
            seen.sqnr_db[numbers[place]], seen.finite[numbers[place][0]] = error, bool(np.isfinite(squares).all())


def _is_finite(value: np.ndarray) -> bool:
    """Like `np.isfinite(value).all()`, in half the time for a small one."""
    return math.isfinite(value.sum()) or bool(np.isfinite(value).all())


def _settled(sums: _Sums) -> _Sums:
    """Sums in which every place occurs once; a tensor whose shape differs from sample to sample was not always summed up with the same others."""
    if len(set(itertools.chain(*sums))) == sum(map(len, sums)):
        return sums
    each: _Sums = {}
    for places, together in sums.items():
        for index, place in enumerate(places):
            each.setdefault((place,), ChannelSums()).merge(together.alone(index))
    return each


class _Groups:
    """Rows whose small tensors are of one shape and type, to be worked on together."""

    def __init__(self, rows: Sequence[Row], shift: int) -> None:
        self._tensors = [(row.float_tensor, row.quantized_tensor + shift) for row in rows if row.quantized_tensor is not None]
        self._forms = [row.form for row in rows]
        self._shapes: list[tuple[int, ...]] = []
        self._groups: list[list[int]] = []

    def add_sample(self, sums: _Sums, values: Mapping[int, np.ndarray]) -> None:
        """Takes in one sample; keeps no value, since LiteRT refuses to run while a view is alive."""
        pairs = [(values[real], values[alone]) for real, alone in self._tensors]
        shapes = [one.shape for pair in pairs for one in pair]
        if shapes != self._shapes:
            self._shapes, self._groups = shapes, self._grouped(pairs)
        for places in self._groups:
            reference, stored = (_stack([pairs[place][side] for place in places]) for side in (0, 1))
            forms = [form for place in places if (form := self._forms[place]) is not None]
            sums.setdefault(tuple(places), ChannelSums()).add(reference, real_of(forms, stored) if forms else stored)

    def _grouped(self, pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[list[int]]:
        """Places of the rows."""
        alike: dict[object, list[int]] = {}
        for place, (pair, form) in enumerate(zip(pairs, self._forms, strict=True)):
            alike.setdefault((form is None, *((one.shape, one.dtype) for one in pair)), []).append(place)
        found = []
        for places in alike.values():
            most = max(1, STACKED // max(1, pairs[places[0]][0].size))
            found += [places[start : start + most] for start in range(0, len(places), most)]
        return found


def _stack(values: Sequence[np.ndarray]) -> np.ndarray:
    return values[0][None] if len(values) == 1 else np.stack(values)  # no copy of a large one


def charge_writers(nodes: Sequence[NodeFacts], errors: OwnErrors) -> dict[str, float]:
    """Errors by node; those of float nodes go to the nodes in less than float32 whose results they read, also through nodes without an error of their own.

    Where a chained float node reads another float node, they go to those whom that one reads.

    Args:
        nodes: in topological order.
        errors: what each node loses by itself.
    """
    writers = {tensor.name: node for node in nodes for tensor in node.outputs}
    charged: dict[str, float] = {}
    for node in nodes:
        if node.name not in errors.sqnr_db:
            continue
        for name in [node.name] if node.name in errors.reduced else _debtors(node, writers, errors):
            charged[name] = min(errors.sqnr_db[node.name], charged.get(name, math.inf))
    return charged


def _debtors(node: NodeFacts, writers: Mapping[str, NodeFacts], errors: OwnErrors) -> list[str]:
    """The nodes that a float node owes its error to."""
    found, queue, seen = [], [node], {node.name}
    while queue:
        reader = queue.pop()
        for tensor in reader.inputs:
            writer = writers.get(tensor.name)
            if writer is None or writer.name in seen:
                continue
            seen.add(writer.name)
            if writer.name in errors.sqnr_db and writer.name in errors.reduced:
                found.append(writer.name)
            elif writer.name not in errors.sqnr_db or reader.name in errors.chained:
                queue.append(writer)
    return found


def _median_db(ratios: np.ndarray) -> float:
    """Median of signal over noise, at least one, in dB; of an even number the mean of the two in the middle."""
    ordered = np.sort(ratios)
    low, high = (_decibel(float(ordered[place]), 1.0) for place in ((len(ordered) - 1) // 2, len(ordered) // 2))
    return (low + high) / 2


def _decibel(signal: float, noise: float) -> float:
    if noise == 0.0:
        return math.inf
    ratio = signal / noise  # 0 as well where a logarithm of 0 made the noise infinite
    return 10.0 * math.log10(ratio) if ratio > 0.0 else -math.inf
