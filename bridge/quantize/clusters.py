"""Clustered weights: tensors that hold few distinct values, which stay few in integers.

With a scale per channel one cluster becomes another integer in every channel: 15 or 16 values became 53 to 73 in the nine convolutions of a clustered
ResNet-8. A scale that all channels share keeps them together, and is chosen so that the clusters lie near its steps.
"""

import numpy as np

from bridge.clustering import is_repeated
from bridge.quantize.forms import LIMITS

GLANCE = 4096  # values that show that most tensors are not clustered, without sorting all of them


def clusters(weight: np.ndarray, largest: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Distinct values other than zero and how often each is there; None unless they repeat and there are at least as many integers up to `largest`."""
    most = largest * 2
    glance = np.sort(weight.reshape(-1)[:GLANCE])
    if np.count_nonzero(glance[1:] != glance[:-1]) > most:  # zero may be one more
        return None
    values, counts = np.unique(weight[weight != 0], return_counts=True)
    return (values, counts) if len(values) <= most and is_repeated(len(values), int(counts.sum())) else None


def is_clustered(weight: np.ndarray, largest: int = LIMITS["INT8"][1]) -> bool:
    """Whether all channels of the weight get one scale, so that its values stay few; `largest` is the largest integer."""
    return clusters(weight, largest) is not None


def common_scale(weight: np.ndarray, type_name: str) -> float | None:
    """The scale for all channels of a clustered weight with the smallest squared error, None for other weights.

    The largest value stays in range: it is given each integer of the upper half in turn.
    """
    highest = LIMITS[type_name][1]
    found = clusters(weight, highest)
    if found is None:
        return None
    values, counts = found[0].astype(np.float64), found[1]
    scales = np.abs(values).max() / np.arange(highest, highest // 2, -1)
    errors = [(counts * np.square(values - np.rint(values / scale) * scale)).sum() for scale in scales]
    return float(scales[int(np.argmin(errors))])
