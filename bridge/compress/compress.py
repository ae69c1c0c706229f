"""Magnitude pruning, k-means clustering, and a projection that keeps both while a model is trained."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from bridge.clustering import is_repeated
from bridge.compress.kmeans import centroids, nearest
from bridge.compress.weights import Weight, weights
from bridge.errors import UsageError


@dataclass(frozen=True, slots=True, eq=False)
class _Pattern:
    """Where a weight is zero, and which values are to stay equal: one index per value, None where they may differ."""

    weight: Weight
    zeros: np.ndarray
    clusters: np.ndarray | None

    def project(self) -> None:
        value = self.weight.read()
        if self.clusters is not None:
            sums = np.bincount(self.clusters, weights=value.reshape(-1).astype(np.float64))
            value = (sums / np.maximum(np.bincount(self.clusters), 1))[self.clusters].reshape(value.shape).astype(np.float32)
        self.weight.write(np.where(self.zeros, np.float32(0), value))


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """The zeros and clusters of a model's weights."""

    patterns: tuple[_Pattern, ...]

    def project(self, *_: object, **__: object) -> None:
        """Makes pruned weights zero again, and those of a cluster their mean: to be called after each step of the optimizer.

        It takes whatever a hook or callback gives. Moving a cluster by the mean of what its weights moved is a gradient step on its value.
        """
        for pattern in self.patterns:
            pattern.project()


def prune(model: object, sparsity: float = 0.5, *, skip: Iterable[str] = ()) -> Kept:
    """Makes the smallest weights of each tensor zero, in place.

    Args:
        model: a torch module or a built Keras 3 model.
        sparsity: share of zeros in each, 0 .. 1; rising over a few calls it loses less.
        skip: shell patterns of names to leave alone.

    Returns:
        What keeps the zeros while the model is trained on.

    Raises:
        UsageError: another kind of model, no weights, or a sparsity out of range.
    """
    if not 0 <= sparsity < 1:
        raise UsageError(f"sparsity must be in 0 .. 1, below 1. Received: {sparsity}.")
    names = tuple(skip)
    for one in weights(model, names):
        value = one.read().copy()
        order = np.argsort(np.abs(value), axis=None, kind="stable")
        value.reshape(-1)[order[: round(sparsity * value.size)]] = 0
        one.write(value)
    return keep(model, clusters=False, skip=names)


def cluster(model: object, clusters: int = 16, *, skip: Iterable[str] = ()) -> Kept:
    """Gives each weight tensor at most so many values, in place; zeros of a pruned tensor stay zero and count as one.

    Args:
        model: a torch module or a built Keras 3 model.
        clusters: at most so many values in each.
        skip: shell patterns of names to leave alone.

    Returns:
        What keeps the clusters and zeros while the model is trained on.

    Raises:
        UsageError: another kind of model, no weights, or fewer than two clusters.
    """
    if clusters < 2:
        raise UsageError(f"clusters must be 2 or more. Received: {clusters}.")
    names = tuple(skip)
    for one in weights(model, names):
        value = one.read().copy()
        alive = value != 0
        if alive.any():
            centers = centroids(value[alive], clusters - (not alive.all()))
            value[alive] = centers[nearest(value[alive], centers)]
        one.write(value)
    return keep(model, skip=names)


def keep(model: object, *, zeros: bool = True, clusters: bool = True, skip: Iterable[str] = ()) -> Kept:
    """The zeros and clusters that the weights have now, whichever tool made them (`torch.nn.utils.prune` after its `remove`).

    Args:
        model: a torch module or a built Keras 3 model.
        zeros: keep zeros.
        clusters: keep equal values equal, in tensors that hold each value four times or more in the mean.
        skip: shell patterns of names to leave alone.

    Returns:
        What keeps them while the model is trained on.

    Raises:
        UsageError: another kind of model, no weights, or a mask of torch's that is not removed.
    """
    return Kept(tuple(_pattern(one, zeros=zeros, clusters=clusters) for one in weights(model, skip)))


def _pattern(weight: Weight, *, zeros: bool, clusters: bool) -> _Pattern:
    value = weight.read()
    dead = value == 0
    distinct, indices = np.unique(value, return_inverse=True)
    repeated = is_repeated(len(distinct) - int(dead.any()), int(np.count_nonzero(value)))
    return _Pattern(weight, dead & zeros, indices.reshape(-1) if clusters and repeated else None)
