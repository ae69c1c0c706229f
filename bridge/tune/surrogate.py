"""Says without running anything how much noise the outputs would have with other operators in integers, and which to choose for a limit."""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from bridge.tune.noise import Noise
from bridge.tune.space import DYNAMIC, FLOAT, INT16, Assignment, Space

AT_RUN_TIME = 0.3  # rounding of activations whose scales fit each run, over that with calibrated scales
TINY = 1e-12


@dataclass(slots=True, eq=False)
class Surrogate:
    """Predicts output noise from what a few runs measured.

    Attributes:
        outputs: tensors of the float file that are its outputs.
        reach: [outputs, tensors] share of one unit of noise at a tensor that arrives at an output, over the output's signal.
        fresh: [operators, outputs] noise over signal that an operator in int8 causes.
        kept: [operators, outputs] likewise, of its int8 weights alone.
        rounded: [edges, outputs] likewise, of the rounding of a float tensor for one int8 reader.
    """

    noise: Noise
    space: Space
    outputs: tuple[int, ...] = field(init=False)
    reach: np.ndarray = field(init=False)
    fresh: np.ndarray = field(init=False)
    kept: np.ndarray = field(init=False)
    rounded: np.ndarray = field(init=False)
    _reader: np.ndarray = field(init=False)
    _writer: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        noise, graph = self.noise, self.noise.graph
        self.outputs = tuple(tensor for tensor in graph.outputs if noise.signal[tensor] > 0.0)
        self.reach = np.zeros((len(self.outputs), len(graph.tensors)))
        for row, tensor in enumerate(self.outputs):
            self.reach[row, tensor] = 1.0 / noise.signal[tensor]
        edges = []
        for op in reversed(graph.ops):
            for tensor in dict.fromkeys(op.inputs):
                if (op.index, tensor) in noise.weight:
                    through = sum(
                        (noise.weight[op.index, tensor] * noise.gain[out] * self.reach[:, out] for out in op.outputs), np.zeros(len(self.outputs))
                    )
                    self.reach[:, tensor] += through
                    edges.append((op.index, graph.producers.get(tensor, len(graph.ops)), noise.rounding[tensor] * through))
        self.fresh, self.kept = (
            np.array([sum((made[out] * self.reach[:, out] for out in op.outputs), np.zeros(len(self.outputs))) for op in graph.ops])
            for made in (noise.fresh, noise.weights)
        )
        self._reader, self._writer = (np.array([edge[place] for edge in edges], int) for place in (0, 1))
        self.rounded = np.array([edge[2] for edge in edges]).reshape(len(edges), len(self.outputs))

    def predict(self, assignment: Assignment) -> np.ndarray:
        """[outputs] noise over signal."""
        integer = np.array([*self.space.integer(assignment), False])  # the last one stands for what has no writer
        edges = integer[self._reader] & ~integer[self._writer]
        total: np.ndarray = self.fresh[integer[:-1]].sum(axis=0) + self.rounded[edges].sum(axis=0)
        for name, precision in assignment.items():
            if precision in (DYNAMIC, INT16):
                ops = list(self.space.candidates[name].ops)
                total = total + self.kept[ops].sum(axis=0)
                if precision == DYNAMIC:
                    total = total + AT_RUN_TIME * self.rounded[np.isin(self._reader, ops)].sum(axis=0)
        return total

    def propose(self, limits: np.ndarray, *, prefer: str) -> dict[str, str]:
        """A cheap assignment whose predicted noise keeps to the limits; all candidates where none does.

        Args:
            limits: [outputs] noise over signal.
            prefer: what candidates are moved to that can be that; the others become float.
        """
        to = {name: prefer if prefer in one.choices else FLOAT for name, one in self.space.candidates.items()}
        chosen, moves = dict[str, str](), self._moves()
        excess = self.excess(chosen, limits)
        queue = [(-np.inf, place) for place in range(len(moves))]
        heapq.heapify(queue)
        while queue and excess > 0.0:
            _, place = heapq.heappop(queue)
            new = {name: to[name] for name in moves[place] if name not in chosen}
            if not new:
                continue
            worth = (excess - self.excess(chosen | new, limits)) / (self.space.cost(new) + TINY)
            if queue and worth < -queue[0][0]:
                heapq.heappush(queue, (-worth, place))
                continue
            if worth <= 0.0:
                break
            chosen |= new
            excess = self.excess(chosen, limits)
        if excess > 0.0:
            return to
        return self._pruned(chosen, limits)

    def _pruned(self, chosen: dict[str, str], limits: np.ndarray) -> dict[str, str]:
        """Without what is not needed, the most expensive first."""
        for name in sorted(chosen, key=lambda one: -self.space.cost({one: chosen[one]})):
            less = {other: precision for other, precision in chosen.items() if other != name}
            if self.excess(less, limits) <= 0.0:
                chosen = less
        return chosen

    def excess(self, assignment: Assignment, limits: np.ndarray) -> float:
        """By how much the noise is beyond the limits, in nepers, summed over the outputs."""
        return float(np.log(np.maximum(self.predict(assignment) / limits, 1.0)).sum())

    def _moves(self) -> list[tuple[str, ...]]:
        """Candidates by themselves, and each with those that read what it writes: between two of them nothing is rounded then."""
        at = {index: name for name, one in self.space.candidates.items() for index in one.ops}
        readers: dict[str, dict[str, None]] = {}
        for reader, writer in zip(self._reader.tolist(), self._writer.tolist(), strict=True):
            if reader in at and writer in at and at[reader] != at[writer]:
                readers.setdefault(at[writer], {})[at[reader]] = None
        return [*((name,) for name in self.space.candidates), *((name, *others) for name, others in readers.items())]


def decibels(noise: Iterable[float] | np.ndarray) -> Sequence[float]:
    """SQNR in dB of noise over signal."""
    found: list[float] = (-10.0 * np.log10(np.maximum(np.asarray(noise, float), 1e-30))).tolist()
    return found
