"""Finds the scale of weights that were rounded already but come as floats: TensorFlow folds their FakeQuant into constants."""

import numpy as np

LARGEST = 127  # of int8, symmetric
OFF_GRID = 1e-3  # of a step: what float32 makes of multiples of it


def grid_scale(weight: np.ndarray, axis: int) -> np.ndarray | None:
    """Scales [channels] float32 on whose multiples up to 127 all weights lie: one for all where there is one, else one per channel; None without.

    Args:
        weight: float32.
        axis: channel axis.
    """
    channels = weight.shape[axis]
    common = _step(weight.reshape(-1))
    if common is not None:
        return np.full(channels, common, np.float32)
    found = [_step(row) for row in np.moveaxis(weight, axis, 0).reshape(channels, -1)]
    return None if any(one is None for one in found) else np.asarray(found, np.float32)


def _step(values: np.ndarray) -> float | None:
    """The smallest difference between two values, if all are multiples of it."""
    different = np.unique(np.append(values.astype(np.float64), 0.0))
    if different.size < 3:  # zero, and one value: any part of it would do
        return None
    step = float(np.diff(different).min())
    counts = np.rint(different / step)
    if np.abs(counts).max() > LARGEST:
        return None
    step = float(different @ counts / (counts @ counts))  # over all of them, the float32 noise of one difference goes
    return step if np.abs(different / step - counts).max() <= OFF_GRID else None
