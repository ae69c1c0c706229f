"""Says without running anything how much noise the outputs would have with other operators in integers."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bridge.tune.noise import Noise


@dataclass(slots=True, eq=False)
class Surrogate:
    """Predicts output noise from what one run measured.

    Attributes:
        noise: the measurements.
        reach: [outputs, tensors] share of one unit of noise at a tensor that arrives at an output, over the output's signal.
    """

    noise: Noise
    reach: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        noise, graph = self.noise, self.noise.graph
        outputs = [tensor for tensor in graph.outputs if noise.signal[tensor] > 0.0]
        self.reach = np.zeros((len(outputs), len(graph.tensors)))
        for row, tensor in enumerate(outputs):
            self.reach[row, tensor] = 1.0 / noise.signal[tensor]
        for op in reversed(graph.ops):
            for tensor in dict.fromkeys(op.inputs):
                if (op.index, tensor) in noise.weight:
                    self.reach[:, tensor] += self.through(op.index, tensor)

    def through(self, op: int, tensor: int) -> np.ndarray:
        """[outputs] like `reach`, only by way of one operator."""
        noise = self.noise
        found = np.zeros(len(self.reach))
        for out in noise.graph.ops[op].outputs:
            found += noise.weight[op, tensor] * noise.gain[out] * self.reach[:, out]
        return found

    def predict(self, integer: Sequence[bool]) -> np.ndarray:
        """[outputs] noise over signal with these operators in integers."""
        noise, graph = self.noise, self.noise.graph
        total = np.zeros(len(self.reach))
        for op in graph.ops:
            if not integer[op.index]:
                continue
            for out in op.outputs:
                total += noise.fresh[out] * self.reach[:, out]
            for tensor in dict.fromkeys(op.inputs):
                writer = graph.producers.get(tensor)
                if (op.index, tensor) in noise.weight and (writer is None or not integer[writer]):
                    total += noise.rounding[tensor] * self.through(op.index, tensor)
        return total
