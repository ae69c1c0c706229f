"""The earliest layer at which a comparison goes wrong."""

import math
from collections.abc import Sequence, Set
from typing import Literal

from msgspec import Struct

from bridge.types import Diagnostic, LayerResult

# Float kernels agree to 60 dB and more, so 40 means another computation; int8 leaves 30 to 40, and below 15 a fifth of the signal is noise.
CONVERSION_SQNR_DB = 40.0
OWN_SQNR_DB = 15.0

# A wrong epsilon of 1e-3 leaves 70 dB where all before had 120: sums in another order never cost as much at once below 80 dB.
SUDDEN_DB, SUDDEN_BELOW_DB = 30.0, 80.0


class Divergence(Struct, frozen=True):
    """The layer, which of its errors passed the threshold, and by how much."""

    layer: LayerResult
    error: Literal["conversion", "own"]
    sqnr_db: float
    threshold_db: float


def first_divergence(
    layers: Sequence[LayerResult],
    *,
    conversion_sqnr_db: float = CONVERSION_SQNR_DB,
    own_sqnr_db: float = OWN_SQNR_DB,
    changed: Set[str] = frozenset(),
) -> Divergence | None:
    """The first layer, in graph order, whose conversion or own error is worse than its threshold; None if all are better.

    A conversion error is also too large where it is suddenly far larger than that of every layer before. The nodes `changed` compute something else by design, since rules changed the model: their conversion error is no fault.
    """
    before = math.inf
    for layer in layers:
        if layer.node not in changed and layer.conversion_sqnr_db is not None:
            sudden = min(before - SUDDEN_DB, SUDDEN_BELOW_DB) if before < math.inf else conversion_sqnr_db
            threshold = max(conversion_sqnr_db, sudden)
            if layer.conversion_sqnr_db < threshold:
                return Divergence(layer, "conversion", layer.conversion_sqnr_db, threshold)
            before = min(before, layer.conversion_sqnr_db)
        if layer.own_sqnr_db is not None and layer.own_sqnr_db < own_sqnr_db:
            return Divergence(layer, "own", layer.own_sqnr_db, own_sqnr_db)
    return None


def _hint(found: Divergence) -> str:
    if found.error == "conversion":
        return "The converted float file computes something else from here on; rules cannot help."
    if found.layer.rmse_over_scale is None:
        return "It is computed in float, from an integer tensor: keep the nodes before it float by a rule."
    return "Keep this node float by a rule, or look at its range."


def describe(found: Divergence) -> Diagnostic:
    """The divergence as a finding."""
    layer = found.layer
    return Diagnostic(
        "first-divergence",
        "warning",
        f"The first layer that goes wrong is {layer.node!r} ({layer.tensor!r}): {found.error} error {found.sqnr_db:.1f} dB, "
        f"expected at least {found.threshold_db:.0f} dB.",
        _hint(found),
        layer.node,
    )
