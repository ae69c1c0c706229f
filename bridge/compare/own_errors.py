"""What every node loses by itself, in the figure that rules ask for: the typical channel counts, not only the loudest one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bridge.compare import attribution
from bridge.compare.attribution import Cut, Rewritten
from bridge.compare.candidates import open_exposed
from bridge.compare.forms import feeder, real_of
from bridge.compare.rows import Row, plan_rows
from bridge.compare.samples import Samples, spread
from bridge.tflite import model as tflite
from bridge.types import ConvertedModel, NodeFacts

MIN_ELEMENTS = 64  # per channel, for a variance that says something
STACKED = 1 << 16  # elements that are worked on at a time: a call of NumPy takes longer than its work on a small tensor


@dataclass(slots=True)
class ChannelSums:
    """Sums per channel (the last axis) over all samples."""

    count: int = 0
    total: np.ndarray | float = 0.0
    squares: np.ndarray | float = 0.0
    noise: np.ndarray | float = 0.0

    def sqnr_db(self) -> float:
        """SQNR in dB of the whole tensor or of its median channel, whichever is less; signal is what varies within a channel.

        The mean of a channel says nothing about what the network sees in it: the first layer of a YOLOX keeps 24 dB by plain SQNR and 12 dB
        by this. With too few elements per channel only the whole tensor counts.
        """
        total, squares, noise = (np.atleast_1d(np.asarray(value, np.float64)) for value in (self.total, self.squares, self.noise))
        if self.count < MIN_ELEMENTS:
            return _decibel(max(0.0, float(squares.sum() - total.sum() ** 2 / (self.count * len(total)))), float(noise.sum()))
        varying = np.maximum(squares - np.square(total) / self.count, 0.0)
        alive = varying > 1e-12 * squares
        whole = _decibel(float(varying.sum()), float(noise.sum()))
        if not alive.any():
            return whole
        return min(whole, float(np.median([_decibel(float(v), float(n)) for v, n in zip(varying[alive], noise[alive], strict=True)])))


def add(sums: Sequence[ChannelSums], reference: np.ndarray, candidate: np.ndarray) -> None:
    """Takes in one sample of tensors of one shape, [tensors, ..., C] each."""
    channels = reference.shape[-1] if reference.ndim > 2 else 1
    r = reference.reshape(len(sums), -1, channels).astype(np.float64)
    error = r - candidate.reshape(r.shape)
    total = np.add.reduce(r, axis=1)
    squares = np.add.reduce(np.multiply(r, r, out=r), axis=1)
    noise = np.add.reduce(np.multiply(error, error, out=error), axis=1)
    for place, one in enumerate(sums):
        one.count += r.shape[1]
        one.total = one.total + total[place]
        one.squares = one.squares + squares[place]
        one.noise = one.noise + noise[place]


@dataclass(frozen=True, slots=True)
class OwnErrors:
    """What the nodes lose by themselves.

    Attributes:
        sqnr_db: `NodeFacts.name` -> SQNR in dB of the node's operators alone, as `ChannelSums.sqnr_db`; the worst of its tensors.
        reduced: nodes that compute in less than float32, as `attribution.reduced`.
        chained: float nodes whose error is that of the float node before them and their own, as `attribution.chained`.
    """

    sqnr_db: Mapping[str, float]
    reduced: frozenset[str] = frozenset()
    chained: frozenset[str] = frozenset()


def own_errors(converted: ConvertedModel, quantized: Rewritten, samples: Samples, *, count: int, threads: int) -> OwnErrors:
    """Measures every node on its own, on the real kernels.

    A float node that reads integer tensors has an error too: that of their rounding.

    Args:
        converted: the float file.
        quantized: the quantized file; left as it is.
        samples: calibration data.
        count: at most so many of them, spread evenly.
        threads: of each run.

    Raises:
        ToolError: a file does not run.
    """
    float_model, (quantized_model, outcomes) = tflite.read(converted.path), quantized
    pairs = attribution.counterparts(float_model, quantized_model, outcomes)
    rows = [row for row in plan_rows(float_model, quantized_model, converted.tensor_map, pairs) if row.own]
    if not rows:
        return OwnErrors({})
    chosen = spread(len(samples), count)
    feed = feeder(float_model, converted.tensor_map.inputs)
    shift = len(tflite.main_graph(float_model).tensors)
    real = list(dict.fromkeys(row.float_tensor for row in rows))
    own = list(dict.fromkeys(row.quantized_tensor for row in rows if row.quantized_tensor is not None))
    reduced = attribution.reduced(quantized_model, pairs, converted.tensor_map.owners, outcomes)
    chained = attribution.chained(quantized_model, pairs, converted.tensor_map.owners, reduced)
    cut = Cut(float_model, quantized_model, pairs, converted.tensor_map.owners, chained)
    interpreter = open_exposed(cut.join(real, own), feed(samples[chosen[0]]), what="the float file", threads=threads).interpreter
    sums = [ChannelSums() for _ in rows]
    for position in chosen:
        values = dict(zip([*real, *(tensor + shift for tensor in own)], interpreter.run_views(feed(samples[position])), strict=True))
        _add_sample(rows, sums, values, shift)
        values.clear()
    found: dict[str, float] = {}
    for row, channel_sums in zip(rows, sums, strict=True):
        if row.owner is not None and row.owner not in cut.uncut:
            found[row.owner] = min(found.get(row.owner, np.inf), channel_sums.sqnr_db())
    return OwnErrors(found, reduced, chained)


def _add_sample(rows: Sequence[Row], sums: Sequence[ChannelSums], values: Mapping[int, np.ndarray], shift: int) -> None:
    """Takes in one sample, small tensors of one shape and type together; keeps no value, since LiteRT refuses to run while a view is alive."""
    alike: dict[object, list[int]] = {}
    for place, row in enumerate(rows):
        if row.quantized_tensor is not None:
            pair = values[row.float_tensor], values[row.quantized_tensor + shift]
            alike.setdefault((row.form is None, *((one.shape, one.dtype) for one in pair)), []).append(place)
    for places in alike.values():
        most = max(1, STACKED // max(1, values[rows[places[0]].float_tensor].size))
        for start in range(0, len(places), most):
            chosen = [rows[place] for place in places[start : start + most]]
            reference = _stack([values[row.float_tensor] for row in chosen])
            stored = _stack([values[row.quantized_tensor + shift] for row in chosen if row.quantized_tensor is not None])
            forms = [row.form for row in chosen if row.form is not None]
            add([sums[place] for place in places[start : start + most]], reference, real_of(forms, stored) if forms else stored)


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


def _decibel(signal: float, noise: float) -> float:
    if noise == 0.0:
        return math.inf
    ratio = signal / noise  # 0 as well where a logarithm of 0 made the noise infinite
    return 10.0 * math.log10(ratio) if ratio > 0.0 else -math.inf
