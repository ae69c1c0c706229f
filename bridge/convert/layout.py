"""Which model inputs onnx2tf turns channels-last, and which keep their layout."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import onnx_ir as ir

InputLayout = Literal["auto", "keep", "nhwc"]
INPUT_LAYOUTS: tuple[InputLayout, ...] = ("auto", "keep", "nhwc")

# ONNX defines these on [N, C, spatial...] (operator specs, "X: ... (N x C x H x W)").
SPATIAL_OPS = frozenset(
    {
        "AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "DepthToSpace", "GlobalAveragePool", "GlobalMaxPool",
        "GroupNormalization", "InstanceNormalization", "LRN", "LpPool", "MaxPool", "SpaceToDepth",
    }
)  # fmt: skip
# What an image may pass on its way to the first spatial operator without losing its axes.
TRANSPARENT_OPS = frozenset(
    {"Abs", "Add", "Cast", "Clip", "Concat", "Div", "Identity", "Mul", "Neg", "Pad", "Pow", "Relu", "Resize", "Slice", "Split", "Sqrt", "Sub"}
)
CHANNELS_LAST: Mapping[int, tuple[int, ...]] = MappingProxyType({3: (0, 2, 1), 4: (0, 2, 3, 1), 5: (0, 2, 3, 4, 1)})


def channels_last_inputs(model: ir.Model, layout: InputLayout) -> tuple[str, ...]:
    """Names of the inputs to be fed channels-last.

    `keep`: none. `nhwc`: all of rank 4. `auto`: those of rank 3 to 5 that reach a spatial operator without a change of axes before it; what
    comes from TensorFlow starts with a Transpose (or is no image), so it keeps its layout.
    """
    if layout == "keep":
        return ()
    ranks = {value: len(value.shape) for value in model.graph.inputs if value.shape is not None}
    if layout == "nhwc":
        return tuple(str(value.name) for value, rank in ranks.items() if rank == 4)
    return tuple(str(value.name) for value, rank in ranks.items() if rank in CHANNELS_LAST and _reaches_spatial(value))


def _reaches_spatial(value: ir.Value) -> bool:
    """Whether every way on from an input leads to a spatial operator first, and there is one."""
    found, queue, seen = False, [value], {value}
    while queue:
        for node, position in queue.pop().uses():
            if node.op_type in SPATIAL_OPS and position == 0:
                found = True
            elif node.op_type in TRANSPARENT_OPS:
                fresh = [output for output in node.outputs if output not in seen]
                seen.update(fresh)
                queue.extend(fresh)
            else:
                return False
    return found
