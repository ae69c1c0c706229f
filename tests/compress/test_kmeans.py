import numpy as np
import pytest

from bridge.compress import centroids

RNG = np.random.default_rng(2)


def smallest_error(values: np.ndarray, clusters: int) -> float:
    """Of all ways to cut the sorted values into runs, by dynamic programming."""
    ordered = np.sort(values)
    ends = range(len(ordered) + 1)
    cost = {(a, b): float(np.square(ordered[a:b] - ordered[a:b].mean()).sum()) for a in ends for b in ends if a < b}
    best = {0: 0.0}
    for _ in range(clusters):
        best = {b: min(best[a] + cost[a, b] for a in best if a < b) for b in ends if any(a < b for a in best)}
    return best[len(ordered)]


@pytest.mark.parametrize("clusters", [2, 4, 7])
def test_the_error_is_near_the_smallest_possible(clusters: int) -> None:
    values = RNG.standard_normal(50)
    found = centroids(values, clusters)
    error = np.square(values[:, None] - found).min(axis=1).sum()
    assert error <= 1.25 * smallest_error(values, clusters)  # Lloyd's algorithm ends in a local minimum


def test_each_is_the_mean_of_what_is_nearest() -> None:
    values = RNG.standard_normal(500)
    found = centroids(values, 8)
    owners = np.abs(values[:, None] - found).argmin(axis=1)
    assert found == pytest.approx([values[owners == at].mean() for at in range(8)])


def test_fewer_values_than_clusters_stay_as_they_are() -> None:
    assert set(np.round(centroids(np.repeat([0.5, -1.0], 5), 16), 12)) >= {-1.0, 0.5}
