"""Advice about pictures that were prepared in another way than the model was trained with: another scale, or values in another order."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bridge.calibrate.dataset import Dataset
from bridge.calibrate.first_layer import responses
from bridge.errors import ToolError
from bridge.types import Diagnostic, InputBinding, TensorRange, TensorSpec

LOOKED_AT = 8  # samples, spread over the set
LEAST_SIDE = 8  # pixels of what counts as a picture

# The standard deviation of the first layer's channels, the middle one of them, before the activation: 0.10 to 1.2 on 15 trained picture models with their
# own data (normalised, 0..1, -1..1 and 0..255); from 6.0 with data 58 times too large, up to 0.007 with data 255 times too small.
LARGEST_RESPONSE, SMALLEST_RESPONSE = 3.0, 0.03
# That deviation over the magnitude of the mean: 0.18 or more with their own data, up to 0.018 with data 255 times too small.
SMALLEST_RATIO = 0.03

# How much less a value differs from its neighbour of the right distance than from that of the wrong one. Colour pictures have 0.3 to 0.6.
CLEARLY_LESS = 0.7
SAME_PHASES = 1.1  # largest over smallest difference by the place in a pixel, where places in a pixel mean nothing


def check_pictures(
    dataset: Dataset, float_model: Path, bindings: Sequence[InputBinding], inputs: Mapping[str, TensorRange]
) -> tuple[Diagnostic, ...]:
    """What tells that pictures do not come as the model takes them; silent about data that are no pictures.

    Args:
        dataset: the calibration samples.
        float_model: the TFLite file.
        bindings: how samples are fed to it.
        inputs: range of every float input over all samples.
    """
    pictures = [spec for spec in dataset.inputs if spec.name in inputs and _channel_axis(spec) is not None]
    if not pictures:
        return ()
    step = max(1, len(dataset) // LOOKED_AT)
    samples = [dataset[position] for position in range(0, len(dataset), step)[:LOOKED_AT]]
    found = [_layout(dataset, spec, [sample[spec.name] for sample in samples]) for spec in pictures]
    if len(dataset.inputs) == 1:
        (spec,) = pictures
        found.append(_scale(dataset, spec, inputs[spec.name], float_model, bindings, samples))
    return tuple(one for one in found if one is not None)


def _channel_axis(spec: TensorSpec) -> int | None:
    """Axis of the 1 or 3 channels of a picture input [1, C, H, W] or [1, H, W, C], None for other inputs."""
    sizes = [int(size) for size in spec.shape]
    if len(sizes) != 4:
        return None
    found = [axis for axis in (1, 3) if sizes[axis] in (1, 3)]
    sides = sorted(sizes[1:])[1:]
    return found[0] if len(found) == 1 and min(sides) >= LEAST_SIDE else None


def _scale(
    dataset: Dataset, spec: TensorSpec, extent: TensorRange, path: Path, bindings: Sequence[InputBinding], samples: Sequence[Mapping[str, np.ndarray]]
) -> Diagnostic | None:
    raw, scaled = extent.minimum >= 0.0 and 64.0 < extent.maximum <= 255.0, extent.minimum >= -1.0 and 0.5 < extent.maximum <= 1.0
    if not raw and not scaled:
        return None
    try:
        values = responses(path, bindings, samples)
    except ToolError:  # calibration itself will tell why the file does not run
        return None
    if values is None:
        return None
    deviation, mean = float(np.median(values.std(axis=0, dtype=np.float64))), float(np.median(np.abs(values.mean(axis=0, dtype=np.float64))))
    where = f"{dataset.source}: input {spec.name!r} holds values from {extent.minimum:.4g} to {extent.maximum:.4g}"
    if raw and deviation > LARGEST_RESPONSE:
        return Diagnostic(
            "not-normalised",
            "warning",
            f"{where}, as pixels before any preprocessing do, and the first layer answers with a standard deviation of {deviation:.3g}, where trained "
            "layers have about 0.1 to 1.",
            "Scale the pictures as in training (0..1, -1..1, or mean and deviation) before they are saved, or give the folder and --preprocess.",
        )
    if scaled and deviation < SMALLEST_RESPONSE and deviation < SMALLEST_RATIO * mean:
        return Diagnostic(
            "scaled-too-small",
            "warning",
            f"{where}, and to the first layer all of them are nearly the same: a standard deviation of {deviation:.2g} around {mean:.2g}. "
            "The model seems to take pixels from 0 to 255.",
            "Save the pictures without scaling them, or give the folder and --preprocess raw.",
        )
    return None


def _layout(dataset: Dataset, spec: TensorSpec, pictures: Sequence[np.ndarray]) -> Diagnostic | None:
    """Values that were reshaped to the model's layout instead of transposed: the shape fits, and neighbours in memory belong together in the old way."""
    axis = _channel_axis(spec)
    if axis is None or spec.shape[axis] != 3:
        return None
    flat = np.stack([picture.reshape(-1) for picture in pictures]).astype(np.float64)
    near, far = (np.abs(flat[:, distance:] - flat[:, :-distance]) for distance in (1, 3))
    one, three = near.mean(), far.mean()
    if axis == 1 and three < CLEARLY_LESS * one:
        return _reshaped(dataset, spec, "[H, W, 3]", "array.transpose(0, 3, 1, 2)")
    if axis == 3 and one < CLEARLY_LESS * three:
        phases = [near[:, phase::3].mean() for phase in range(3)]
        if max(phases) < SAME_PHASES * min(phases):  # gray pictures [H, W, 3] differ only from pixel to pixel
            return _reshaped(dataset, spec, "[3, H, W]", "array.transpose(0, 2, 3, 1)")
    return None


def _reshaped(dataset: Dataset, spec: TensorSpec, order: str, remedy: str) -> Diagnostic:
    return Diagnostic(
        "layout-swapped",
        "warning",
        f"{dataset.source}: the shape of input {spec.name!r} fits, but its values follow each other as in {order} pictures: it looks reshaped, "
        "not transposed.",
        f"Save {spec.name!r} as {remedy}.",
    )
