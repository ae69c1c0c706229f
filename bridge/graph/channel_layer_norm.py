"""A spelled-out LayerNorm over the channels of an image -> Transpose, LayerNormalization, Transpose.

ONNX normalises trailing axes only. Left as it is, onnx2tf 2.6.9 loses the layout in Keras' spelling of it: 4 dB where height, width and channels
are alike, a file that LiteRT cannot load ("failed to reshape runtime") where they are not. The two Transposes vanish in its channels-last layout.
"""

import math

import numpy as np
import onnx_ir as ir

from bridge.graph import provenance
from bridge.graph.patterns.norm_regions import Candidate, norm_groups
from bridge.graph.values import new_constant, new_node, static_shape

_RANKS = (4, 5)  # for sequences [N, C, W] the converter does no worse with the spelling than with the operator
_OPSET = 17


def fuse_channel_norms(model: ir.Model) -> None:
    """Fuses every closed layer normalisation over axis 1 whose scale and bias vary along that axis only."""
    if model.graph.opset_imports.get("", 0) < _OPSET:
        return
    for group in norm_groups(model.graph):
        taken: set[ir.Node] = set()
        for candidate in reversed(group):  # the one with the whole affine comes last
            if candidate.closed and taken.isdisjoint(candidate.nodes) and _fuse(model.graph, candidate):
                taken.update(candidate.nodes)


def _fuse(graph: ir.Graph, candidate: Candidate) -> bool:
    norm, value = candidate.norm, candidate.value
    shape = static_shape(value)
    last = value.producer()
    if norm.kind != "layer_norm" or shape is None or len(shape) not in _RANKS or static_shape(norm.over.base) != shape or last is None:
        return False
    if norm.axes != frozenset({1}) or not norm.power.exact or math.prod(shape[2:]) == 1:
        return False
    scale, bias = (_per_channel(constant, shape) for constant in (norm.scale, norm.bias))
    if (norm.scale is not None and scale is None) or (norm.bias is not None and bias is None):
        return False
    factor = norm.power.factor
    name = str(value.name)
    weights = [new_constant(graph, f"{name}.scale", ((np.ones(shape[1]) if scale is None else scale) / np.sqrt(factor)).astype(np.float32))]
    if bias is not None:
        weights.append(new_constant(graph, f"{name}.bias", bias.astype(np.float32)))
    to_last = [0, *range(2, len(shape)), 1]
    back = [0, len(shape) - 1, *range(1, len(shape) - 1)]
    moved = [shape[axis] for axis in to_last]
    first = new_node("Transpose", [norm.over.base], moved, attributes={"perm": to_last})
    fused = new_node(
        "LayerNormalization", [first.outputs[0], *weights], moved, attributes={"axis": -1, "epsilon": norm.power.epsilon / factor}
    )  # fmt: skip
    final = new_node("Transpose", [fused.outputs[0]], shape, attributes={"perm": back})
    provenance.inherit([first, fused, final], candidate.nodes, main=last)
    ir.convenience.replace_nodes_and_values(graph, last, list(candidate.nodes), [first, fused, final], [value], final.outputs)
    return True


def _per_channel(constant: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray | None:
    """The constant as [C], None if there is none or it varies along other axes."""
    if constant is None or constant.size not in (1, shape[1]):
        return None
    full = (1,) * (len(shape) - constant.ndim) + constant.shape
    return np.broadcast_to(constant.reshape(-1), (shape[1],)) if constant.size == 1 or full[1] == shape[1] else None
