"""Whether calibration samples are of all kinds: the same ones again, nearly the same ones, one class only."""

from collections.abc import Iterable, Sequence

import numpy as np

from bridge.calibrate.dataset import SYNTHETIC, Dataset
from bridge.class_scores import Scores, one_class
from bridge.types import Diagnostic

LEAST_SAMPLES = 16  # fewer are few anyhow, which is said
LEAST_DISTINCT = 0.5  # of the samples; token sequences of a corpus have 0.94, all else 1
LOOKED_AT, ELEMENTS = 64, 4096  # samples and elements of each input that tell how much samples differ

# Variance of an element over the samples, over the variance of all elements: 0.59 to 0.99 for the data of 25 models, 0.32 for spectra of machines that
# run alike; below 0.001 for one picture with the noise of a camera.
LEAST_VARIETY = 0.02
MIX = "Take some samples of every class: shuffle before taking the first 100."


def check_variety(dataset: Dataset) -> tuple[Diagnostic, ...]:
    """Findings about samples that know one kind of input; silent about random ones."""
    if dataset.source == SYNTHETIC or len(dataset) < LEAST_SAMPLES:
        return ()
    return (*_alike(dataset), *_one_class(dataset))


def check_classes(dataset: Dataset, outputs: Iterable[Sequence[Scores | None]]) -> tuple[Diagnostic, ...]:
    """The finding that the model takes all samples for one class; silent where labels tell, and about random samples.

    Args:
        dataset: the samples.
        outputs: what each output of the model says of every sample.
    """
    if dataset.source == SYNTHETIC or dataset.labels is not None:
        return ()
    for seen in outputs:
        if (found := one_class(seen)) is not None:
            message = f"{dataset.source}: all {len(dataset)} calibration samples are of class {found} for the float model."
            return (Diagnostic("one-class", "warning", message, MIX),)
    return ()


def _alike(dataset: Dataset) -> tuple[Diagnostic, ...]:
    count = len(dataset)
    distinct = len({tuple(_some(value).tobytes() for value in sample.values()) for sample in dataset})
    if distinct <= LEAST_DISTINCT * count:
        message = f"{dataset.source}: only {distinct} of {count} calibration samples are different ones."
    elif (variety := _variety(dataset)) < LEAST_VARIETY:
        message = f"{dataset.source}: the {count} calibration samples are nearly the same: what differs between them is {variety:.2%} of the variance of their values."
    else:
        return ()
    return (Diagnostic("samples-alike", "warning", message, "Take samples of all kinds: other scenes, speakers, texts."),)


def _variety(dataset: Dataset) -> float:
    """Of the input that differs most."""
    chosen = np.unique(np.linspace(0, len(dataset) - 1, LOOKED_AT).astype(int))
    shares = []
    samples = [dataset[int(position)] for position in chosen]
    for spec in dataset.inputs:
        values = np.stack([_some(sample[spec.name]) for sample in samples]).astype(np.float64)
        if values.size and values.var() > 0.0:
            shares.append(float(values.var(axis=0).mean() / values.var()))
    return max(shares, default=1.0)


def _some(value: np.ndarray) -> np.ndarray:
    """Elements from all over an input."""
    flat = value.reshape(-1)
    return flat[:: max(1, flat.size // ELEMENTS)]


def _one_class(dataset: Dataset) -> tuple[Diagnostic, ...]:
    if dataset.labels is None or len(set(dataset.labels.tolist())) > 1:
        return ()
    message = f"{dataset.source}: all {len(dataset)} calibration samples are of class {int(dataset.labels[0])} by their labels."
    return (Diagnostic("one-class", "warning", message, MIX),)
