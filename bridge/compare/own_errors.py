"""What every node loses by itself, in the figure that rules ask for: the typical channel counts, not only the loudest one."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bridge.compare import attribution
from bridge.compare.attribution import Cut
from bridge.compare.candidates import open_exposed
from bridge.compare.forms import Form, feeder
from bridge.compare.layers import plan_rows
from bridge.compare.samples import Samples, spread
from bridge.tflite import model as tflite
from bridge.types import ConvertedModel, NodeFacts, QuantizedModel

MIN_ELEMENTS = 64  # per channel, for a variance that says something


@dataclass(slots=True)
class ChannelSums:
    """Sums per channel (the last axis) over all samples."""

    count: int = 0
    total: np.ndarray | float = 0.0
    squares: np.ndarray | float = 0.0
    noise: np.ndarray | float = 0.0

    def add(self, reference: np.ndarray, candidate: np.ndarray) -> None:
        """Takes in one sample, [..., C] each."""
        channels = reference.shape[-1] if reference.ndim > 1 else 1
        r = reference.reshape(-1, channels).astype(np.float64)
        self.count += len(r)
        self.total = self.total + r.sum(axis=0)
        self.squares = self.squares + np.square(r).sum(axis=0)
        self.noise = self.noise + np.square(r - candidate.reshape(-1, channels)).sum(axis=0)

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


def own_errors(converted: ConvertedModel, quantized: QuantizedModel, samples: Samples, *, count: int, threads: int) -> Mapping[str, float]:
    """`NodeFacts.name` -> SQNR in dB of the node's operators alone, as `ChannelSums.sqnr_db`; the worst of its tensors.

    A float node that reads integer tensors has an error too: that of their rounding.

    Args:
        converted: the float file.
        quantized: the quantized file.
        samples: calibration data.
        count: at most so many of them, spread evenly.
        threads: of each run.

    Raises:
        ToolError: a file does not run.
    """
    float_model, quantized_model = tflite.read(converted.path), tflite.read(quantized.path)
    pairs = attribution.counterparts(float_model, quantized_model, quantized.ops)
    rows = [row for row in plan_rows(float_model, quantized_model, converted.tensor_map, pairs) if row.own]
    if not rows:
        return {}
    chosen = spread(len(samples), count)
    feed = feeder(float_model, converted.tensor_map.inputs)
    shift = len(tflite.main_graph(float_model).tensors)
    real = list(dict.fromkeys(row.float_tensor for row in rows))
    own = list(dict.fromkeys(row.quantized_tensor for row in rows if row.quantized_tensor is not None))
    cut = Cut(float_model, quantized_model, pairs, converted.tensor_map.owners)
    interpreter = open_exposed(cut.join(real, own), feed(samples[chosen[0]]), what="the float file", threads=threads).interpreter
    sums = [ChannelSums() for _ in rows]
    for position in chosen:
        values = dict(zip([*real, *(tensor + shift for tensor in own)], interpreter.run_views(feed(samples[position])), strict=True))
        for row, channel_sums in zip(rows, sums, strict=True):
            if row.quantized_tensor is not None:
                channel_sums.add(values[row.float_tensor], _real(row.form, values[row.quantized_tensor + shift]))
        values.clear()
    found: dict[str, float] = {}
    for row, channel_sums in zip(rows, sums, strict=True):
        if row.owner is not None and row.owner not in cut.uncut:
            found[row.owner] = min(found.get(row.owner, np.inf), channel_sums.sqnr_db())
    return found


def _real(form: Form | None, value: np.ndarray) -> np.ndarray:
    """Real numbers; not kept in a variable by the caller, since LiteRT refuses to run while a view is alive."""
    return value if form is None else form.real(value)


def charge_writers(nodes: Sequence[NodeFacts], errors: Mapping[str, float], integer: Collection[str]) -> dict[str, float]:
    """Errors by node; those of float nodes go to the integer nodes whose results they read, also through nodes without an error of their own.

    Args:
        nodes: in topological order.
        errors: what each node loses by itself.
        integer: nodes with operators that run on integers.
    """
    writers = {tensor.name: node for node in nodes for tensor in node.outputs}
    charged: dict[str, float] = {}
    for node in nodes:
        if node.name not in errors:
            continue
        debtors, queue, seen = [node.name] if node.name in integer else [], [] if node.name in integer else [node], {node.name}
        while queue:
            for tensor in queue.pop().inputs:
                writer = writers.get(tensor.name)
                if writer is None or writer.name in seen:
                    continue
                seen.add(writer.name)
                if writer.name in errors and writer.name in integer:
                    debtors.append(writer.name)
                elif writer.name not in errors:
                    queue.append(writer)
        for name in debtors:
            charged[name] = min(errors[node.name], charged.get(name, math.inf))
    return charged


def _decibel(signal: float, noise: float) -> float:
    if noise == 0.0:
        return float("inf")
    return 10.0 * float(np.log10(signal / noise)) if signal > 0.0 else float("-inf")
