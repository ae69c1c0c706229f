"""The earliest layer at which a comparison goes wrong."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Literal

from bridge.types import Diagnostic, LayerResult

# Float kernels agree to 60 dB and more, so 40 means another computation; int8 leaves 30 to 40, and below 15 a fifth of the signal is noise.
CONVERSION_SQNR_DB = 40.0
OWN_SQNR_DB = 15.0


@dataclass(frozen=True, slots=True)
class Divergence:
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

    The nodes `changed` compute something else by design, since rules changed the model: their conversion error is no fault.
    """
    for layer in layers:
        if layer.node not in changed and layer.conversion_sqnr_db is not None and layer.conversion_sqnr_db < conversion_sqnr_db:
            return Divergence(layer, "conversion", layer.conversion_sqnr_db, conversion_sqnr_db)
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
