"""What a window sees at each of its positions: the common ground of convolutions and pools that are written out."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from msgspec import Struct

from bridge.graph.lowering.replacement import Builder
from bridge.graph.values import static_shape

MAX_TAPS = 512  # one Slice each


class Window(Struct, frozen=True):
    """A window that slides over the axes behind batch and channels; one entry per such axis.

    Attributes:
        sizes: of the input.
        kernel: positions of the window.
        strides: steps from one output to the next.
        dilations: steps from one position to the next.
        begins: elements put before the input.
        out: sizes of the output.
    """

    sizes: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begins: tuple[int, ...]
    out: tuple[int, ...]

    @classmethod
    def of(cls, node: ir.Node, kernel: Sequence[int]) -> "Window | None":
        """The window of a Conv or a pool; None where shapes are unknown.

        Source: ONNX Conv-11, MaxPool-12; SAME_LOWER puts the odd pad first.
        """
        shape, written = static_shape(node.inputs[0]), static_shape(node.outputs[0])
        if shape is None or written is None or math.prod(kernel) > MAX_TAPS:
            return None
        rank = len(shape) - 2
        strides = tuple(node.attributes.get_ints("strides", [1] * rank))
        dilations = tuple(node.attributes.get_ints("dilations", [1] * rank))
        begins = tuple(node.attributes.get_ints("pads", [0] * 2 * rank))[:rank]
        auto = node.attributes.get_string("auto_pad", "NOTSET")
        if auto.startswith("SAME"):
            totals = [
                max(0, (out - 1) * stride + (taps - 1) * dilation + 1 - size)
                for size, out, taps, stride, dilation in zip(shape[2:], written[2:], kernel, strides, dilations, strict=True)
            ]
            begins = tuple(total - total // 2 if auto == "SAME_LOWER" else total // 2 for total in totals)
        elif auto == "VALID":
            begins = (0,) * rank
        return cls(shape[2:], tuple(kernel), strides, dilations, begins, written[2:])

    @property
    def taps(self) -> list[tuple[int, ...]]:
        """Position in the window, in row-major order."""
        return list(itertools.product(*map(range, self.kernel)))

    @property
    def padded(self) -> tuple[int, ...]:
        """How long each axis has to be for the last output."""
        return tuple(
            max((out - 1) * stride + (taps - 1) * dilation + 1, begin + size)
            for size, out, taps, stride, dilation, begin in zip(
                self.sizes, self.out, self.kernel, self.strides, self.dilations, self.begins, strict=True
            )
        )

    def views(self, build: Builder, value: ir.Value | None, *, fill: float) -> list[ir.Value]:
        """Per position [N, C, *out]: the element of `value` [N, C, *sizes] that it sees, `fill` outside."""
        rank, padded = len(self.sizes), self.padded
        ends = [length - begin - size for length, begin, size in zip(padded, self.begins, self.sizes, strict=True)]
        if any(self.begins) or any(ends):
            value = build.op("Pad", value, build.integers([0, 0, *self.begins, 0, 0, *ends]), build.scalar(fill))
        axes = build.integers(range(2, rank + 2))
        strides = build.integers(self.strides)
        found = []
        for position in self.taps:
            starts = [tap * dilation for tap, dilation in zip(position, self.dilations, strict=True)]
            stops = [start + (out - 1) * stride + 1 for start, out, stride in zip(starts, self.out, self.strides, strict=True)]
            found.append(build.op("Slice", value, build.integers(starts), build.integers(stops), axes, strides))
        return found

    def positions(self, axis: int) -> np.ndarray:
        """[out, kernel] of one axis: index into the input, negative or too large outside."""
        outputs, taps = np.arange(self.out[axis])[:, None], np.arange(self.kernel[axis])[None]
        return outputs * self.strides[axis] + taps * self.dilations[axis] - self.begins[axis]
