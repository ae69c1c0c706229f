"""k-means of numbers."""

import numpy as np

ROUNDS = 100


def centroids(values: np.ndarray, clusters: int) -> np.ndarray:
    """At most `clusters` numbers, ascending float64, each the mean of the values next to it.

    Lloyd's algorithm from two beginnings, of which the one with the smaller squared error is taken: evenly over the range, which keeps large values
    (Han et al. 2016, "Deep Compression", section 3.2), and evenly over the values.

    Args:
        values: of any shape.
        clusters: how many numbers.

    Returns:
        [at most `clusters`], ascending.
    """
    ordered = np.sort(values.reshape(-1).astype(np.float64))
    places = (np.arange(clusters) + 0.5) / clusters
    beginnings = (np.linspace(ordered[0], ordered[-1], clusters), np.quantile(ordered, places))
    found = [_lloyd(ordered, np.unique(beginning)) for beginning in beginnings]
    return min(found, key=lambda centers: float(np.square(ordered - centers[nearest(ordered, centers)]).sum()))


def nearest(values: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Index of the nearest of ascending centers for each value."""
    return np.searchsorted((centers[1:] + centers[:-1]) / 2, values)


def _lloyd(ordered: np.ndarray, centers: np.ndarray) -> np.ndarray:
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    for _ in range(ROUNDS):
        borders = np.concatenate([[0], np.searchsorted(ordered, (centers[1:] + centers[:-1]) / 2), [len(ordered)]])
        counts = np.diff(borders)
        moved = np.where(counts > 0, np.diff(sums[borders]) / np.maximum(counts, 1), centers)
        if np.array_equal(moved, centers):
            break
        centers = moved
    return centers
