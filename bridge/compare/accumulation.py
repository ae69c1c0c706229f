"""Whether an error is that of no single layer: many small ones that add up along the depth of a network."""

import itertools
import math
from collections.abc import Sequence
from statistics import median

from bridge.compare.divergence import OWN_SQNR_DB
from bridge.types import Diagnostic, LayerResult, OutputResult

POOR_DB = 20.0  # of an output: a tenth of the signal is noise
LEAST_LAYERS = 30
LARGEST_SHARE = 0.25  # that one layer may have in the sum of all own errors
PARTS, FALL_DB, LARGEST_STEP = 8, 6.0, 2 / 3  # the layers in so many parts: how far the error falls from first to last, and the share of one step
RISE_DB = 0.5  # by which a later quarter may be better


def accumulated_error(layers: Sequence[LayerResult], outputs: Sequence[OutputResult]) -> Diagnostic | None:
    """The finding that the error grows along the depth; None where a layer is to blame, or nothing is wrong.

    Measured on 22 int8 models: true of a YOLOX (182 layers) and a MiniLM (69), whose outputs keep 19 dB; false of a MiniFASNet, which loses 17 dB in its
    first eighth and nothing behind it, of a basic-pitch, which loses 13 dB in one place, and of all whose outputs are good.

    Args:
        layers: in graph order.
        outputs: of the quantized file.
    """
    pairs = [
        (layer.own_sqnr_db, layer.inherited_sqnr_db) for layer in layers if layer.own_sqnr_db is not None and layer.inherited_sqnr_db is not None
    ]
    known = [(own, inherited) for own, inherited in pairs if math.isfinite(own) and math.isfinite(inherited)]
    worst = min((output.sqnr_db for output in outputs), default=math.inf)
    if len(known) < LEAST_LAYERS or worst >= POOR_DB or min(own for own, _ in known) < OWN_SQNR_DB:
        return None
    noise = [10 ** (-own / 10) for own, _ in known]
    if max(noise) > LARGEST_SHARE * sum(noise):
        return None
    inherited = [error for _, error in known]
    quarters, parts = _medians(inherited, 4), _medians(inherited, PARTS)
    falls = quarters[0] - quarters[-1]
    steadily = all(later <= earlier + RISE_DB for earlier, later in itertools.pairwise(quarters))
    step = max(earlier - later for earlier, later in itertools.pairwise(parts))
    if falls < FALL_DB or not steadily or step > LARGEST_STEP * (max(parts) - min(parts)):
        return None
    message = (
        f"The error grows along {len(known)} layers, from {quarters[0]:.1f} dB in the first quarter to {quarters[-1]:.1f} dB in the last, "
        f"while each of them alone keeps {median(own for own, _ in known):.1f} dB (median) and none has more than {max(noise) / sum(noise):.0%} of the noise."
    )
    hint = "A rule for one layer helps little: 16-bit activations (--precision static_wi8_ai16), quantization-aware training, or `bridge tune`."
    return Diagnostic("error-accumulates", "warning", message, hint)


def _medians(values: Sequence[float], parts: int) -> list[float]:
    return [median(values[len(values) * part // parts : len(values) * (part + 1) // parts]) for part in range(parts)]
