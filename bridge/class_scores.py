"""Whether a model itself says that all samples are of one class: the largest score of an output is the same one, and the scores are those of classes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LEAST_SAMPLES = 16  # that may be of one class by chance
SUM_TOLERANCE = 1e-3  # of probabilities

# Scores before a softmax have both signs, a largest one that is far from the others, and no great width. Of 11 trained models with such an output the 5
# classifiers have a certainty of 0.8 to 1.0 (median) and a width below 40; an embedding has 0.003, an autoencoder of spectra a width of 81.
LEAST_CERTAINTY, LARGEST_WIDTH = 0.5, 60.0


class Scores(NamedTuple):
    """One output in one sample; see `scores`."""

    largest: int
    probabilities: bool
    signed: bool
    width: float
    certainty: float


def scores(value: np.ndarray) -> Scores | None:
    """What an output says of a sample, None where it cannot be one score per class.

    Args:
        value: one output, float.
    """
    flat = value.reshape(-1)
    if flat.size < 2 or flat.size != value.shape[-1] or not np.isfinite(flat).all():
        return None
    low, high = float(flat.min()), float(flat.max())
    certainty = 1.0 / float(np.exp(flat.astype(np.float64) - high).sum())
    return Scores(int(flat.argmax()), low >= 0.0 and abs(float(flat.sum()) - 1.0) < SUM_TOLERANCE, low < 0.0 < high, high - low, certainty)


def one_class(seen: Sequence[Scores | None]) -> int | None:
    """The class of all samples, None where they are few, of several classes, or where the output is none of classes."""
    known = [one for one in seen if one is not None]
    if len(known) < max(LEAST_SAMPLES, len(seen)) or len({one.largest for one in known}) > 1:
        return None
    certain = float(np.median([one.certainty for one in known])) >= LEAST_CERTAINTY
    before_softmax = certain and any(one.signed for one in known) and all(one.width <= LARGEST_WIDTH for one in known)
    return known[0].largest if before_softmax or all(one.probabilities for one in known) else None
