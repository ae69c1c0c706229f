"""Node data for Model Explorer: one value per tensor of the quantized file, coloured by its size.

Source: https://github.com/google-ai-edge/model-explorer, `GraphNodeData` of its package `model_explorer.node_data_builder`.
"""

import json
import math
from collections.abc import Callable

from bridge.report.schema import Layer, Report

EXACT_DB = 200.0  # JSON has no infinity: an exact tensor has this, one with NaN or without signal the negative
# Up to the value: the colour. What is above the last one has none.
COLOURS = ((10.0, "#e0614f"), (20.0, "#f0a94b"), (30.0, "#f3dd7a"), (EXACT_DB, "#8fcf9f"))


def inherited(report: Report) -> str:
    """SQNR end to end of every tensor that was compared, in dB."""
    return _node_data(report, lambda layer: layer.inherited_sqnr_db)


def own(report: Report) -> str:
    """SQNR that each quantized layer loses by itself, in dB."""
    return _node_data(report, lambda layer: layer.own_sqnr_db)


def _node_data(report: Report, read: Callable[[Layer], float | None]) -> str:
    values = {layer.tflite_tensor: value for layer in report.layers if layer.tflite_tensor is not None and (value := read(layer)) is not None}
    data = {
        "results": {tensor: {"value": _finite(value)} for tensor, value in values.items()},
        "thresholds": [{"value": value, "bgColor": colour} for value, colour in COLOURS],
    }
    return json.dumps(data, indent=1, allow_nan=False) + "\n"


def _finite(value: float) -> float:
    return -EXACT_DB if math.isnan(value) else max(-EXACT_DB, min(EXACT_DB, round(value, 3)))
