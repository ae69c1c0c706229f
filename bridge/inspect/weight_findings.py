"""What the weights of a model tell: channels of zeros, and weights that int8 cannot hold well."""

import math
from collections.abc import Collection, Iterator, Mapping

import numpy as np
import onnx_ir as ir

from bridge import quantize
from bridge.types import Decision, Diagnostic, Graph

NAMED = 5
LARGEST_INTEGER = 127
# What int8 leaves of the weights of a layer, one scale per channel: 33 to 46 dB in all 700 layers of 25 trained models.
POOR_WEIGHTS_DB = 25.0
PIECE = 1 << 22  # elements that are rounded at once


def weight_findings(normal: Graph, decisions: Mapping[str, Decision]) -> tuple[Diagnostic, ...]:
    """Findings about the constant weights of Conv, ConvTranspose, Gemm and MatMul.

    Args:
        normal: the normalised graph.
        decisions: of the rules, by node; weights that stay float are not rounded.
    """
    dead: dict[str, tuple[int, int]] = {}
    poor: list[Diagnostic] = []
    for name, channels in _weights(normal):
        magnitudes = np.abs(channels).max(axis=1)
        if not magnitudes.all():
            dead[name] = (int(np.count_nonzero(magnitudes == 0)), len(magnitudes))
        if name in decisions and quantize.PRECISIONS[decisions[name].precision].weight == "INT8":
            kept_db = _rounded_db(channels, magnitudes)
            if kept_db < POOR_WEIGHTS_DB:
                poor.append(_outliers(name, channels, magnitudes, kept_db))
    return (*_dead(dead), *poor)


def _weights(normal: Graph) -> Iterator[tuple[str, np.ndarray]]:
    """Node and its weight as [output channels, values of one]."""
    for node in normal.model.graph:
        axis = _channel_axis(node)
        tensor = node.inputs[1].const_value if axis is not None and node.inputs[1] is not None else None
        if axis is not None and tensor is not None and len(tensor.shape) > 1:
            weight = np.moveaxis(tensor.numpy(), axis, 0)
            yield normal.node_names.get(str(node.name), str(node.name)), weight.reshape(len(weight), -1)


def _channel_axis(node: ir.Node) -> int | None:
    """Axis of the output channels in input 1; None for operators without weights."""
    match node.op_type:
        case "Conv":
            return 0
        case "ConvTranspose" if node.attributes.get_int("group", 1) == 1:
            return 1
        case "Gemm":
            return 0 if node.attributes.get_int("transB", 0) else 1
        case "MatMul":
            return -1
    return None


def _rounded_db(channels: np.ndarray, magnitudes: np.ndarray) -> float:
    """Signal over rounding noise in dB, with one symmetric int8 scale for each channel."""
    signal = noise = 0.0
    rows = max(1, PIECE // max(1, channels.shape[1]))
    for start in range(0, len(channels), rows):
        part = channels[start : start + rows].astype(np.float64)
        step = np.where(magnitudes[start : start + rows] > 0, magnitudes[start : start + rows] / LARGEST_INTEGER, 1.0)[:, None]
        signal += float(np.square(part).sum())
        noise += float(np.square(part - np.round(part / step) * step).sum())
    return 10 * math.log10(signal / noise) if signal > 0 and noise > 0 else math.inf


def _outliers(name: str, channels: np.ndarray, magnitudes: np.ndarray, kept_db: float) -> Diagnostic:
    middle = np.median(np.abs(channels), axis=1)
    worst = int(np.argmax(magnitudes / np.where(middle > 0, middle, np.inf)))
    message = (
        f"The weights of {name!r} keep {kept_db:.1f} dB in int8, with a scale for each of {len(channels)} channels: "
        f"the largest of channel {worst} is {magnitudes[worst]:.3g}, its middle one {middle[worst]:.3g}."
    )
    return Diagnostic("weight-outliers", "warning", message, "Keep the node float by a rule, or give it float16 weights.", name)


def _dead(layers: Mapping[str, tuple[int, int]]) -> tuple[Diagnostic, ...]:
    if not layers:
        return ()
    total = sum(zeros for zeros, _ in layers.values())
    shown = [f"{zeros} of {count} in {name!r}" for name, (zeros, count) in sorted(layers.items(), key=lambda one: -one[1][0])[:NAMED]]
    message = f"{total} output channels have only zeros as weights: {', '.join(shown)}{_more(layers)}."
    return (Diagnostic("dead-weights", "info", message, "Cutting them out before the export makes the file smaller and faster.", next(iter(layers))),)


def _more(names: Collection[str]) -> str:
    return f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
