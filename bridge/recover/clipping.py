"""Ranges that minimise the error of the tensor itself: where the search for those that minimise the error of the outputs begins."""

import math
import threading
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from bridge.recover.batches import Outputs, Runner, joined
from bridge.recover.trials import Trials
from bridge.tflite import model as tflite
from bridge.types import TensorRange

MOST_SAMPLES = 24
MOST_HELD = 8 << 20  # bytes of the tensors of one run that several threads may have at a time
MOST_VALUES = 8192  # of one tensor in one sample, spread evenly
BINS = 2048
LEVELS = 255
FACTORS = np.array([1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])


def clipped_ranges(
    trials: Trials, ranges: Mapping[str, TensorRange], tensors: Sequence[str], weights: Sequence[float]
) -> list[Mapping[str, TensorRange]]:
    """For each weight the ranges with the smallest squared error of rounding plus `weight` times that of clipping.

    Args:
        trials: runs the float file.
        ranges: what the tensors keep in, by name; the ranges found lie inside.
        tensors: names of float activations.
        weights: above 1 for operators behind that suffer from what is cut off more than from what is rounded.
    """
    model, main = trials.graph.model, tflite.main_graph(trials.graph.model)
    index = {tflite.text(tensor.name): position for position, tensor in enumerate(main.tensors)}
    counts = {name: np.zeros(BINS, np.int64) for name in tensors}
    lock = threading.Lock()

    def count(_: int, values: Outputs) -> None:
        found = [_histogram(value.reshape(-1), ranges[name]) for name, value in zip(tensors, values, strict=True)]
        with lock:
            for name, one in zip(tensors, found, strict=True):
                counts[name] += one

    held = sum(4 * math.prod(tflite.shape(main.tensors[index[name]])) for name in tensors)
    runner = Runner(tflite.expose(model, [index[name] for name in tensors]), threads=trials.threads if held <= MOST_HELD else 1)
    runner.each(joined(trials.feeds("fit")[:MOST_SAMPLES], 1), count)
    return [MappingProxyType({name: _best(counts[name], ranges[name], weight) for name in tensors}) for weight in weights]


def _histogram(values: np.ndarray, span: TensorRange) -> np.ndarray:
    """[BINS] int64 of values inside the span; `np.histogram` asks of each value again on which side of an edge it is, in three times the time."""
    if not span.maximum > span.minimum:
        return np.zeros(BINS, np.int64)
    some = values[:: max(1, len(values) // MOST_VALUES)]
    places = (some[(some >= span.minimum) & (some <= span.maximum)] - span.minimum) * (BINS / (span.maximum - span.minimum))
    return np.bincount(np.minimum(places.astype(np.int64), BINS - 1), minlength=BINS)


def _best(counts: np.ndarray, span: TensorRange, weight: float) -> TensorRange:
    """The range of all pairs of FACTORS with the smallest error."""
    if not counts.any():
        return span
    centres = span.minimum + (np.arange(BINS) + 0.5) * (span.maximum - span.minimum) / BINS
    lows = span.minimum * (FACTORS if span.minimum < 0 else FACTORS[:1])
    highs = span.maximum * (FACTORS if span.maximum > 0 else FACTORS[:1])
    below = np.array([(counts * np.square(np.minimum(centres - low, 0.0))).sum() for low in lows])
    above = np.array([(counts * np.square(np.maximum(centres - high, 0.0))).sum() for high in highs])
    steps = (np.maximum(highs, 0.0)[None, :] - np.minimum(lows, 0.0)[:, None]) / LEVELS
    errors = counts.sum() * np.square(steps) / 12 + weight * (below[:, None] + above[None, :])
    low, high = np.unravel_index(int(errors.argmin()), errors.shape)
    return TensorRange(float(lows[low]), float(highs[high]))
