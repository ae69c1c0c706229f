"""Runs of a file that changes from trial to trial begin behind the operators that compute what they computed in the last one.

The values there are kept: a search goes through the operators in their order, so that less and less of the file has to run. An operator gives
the same bits for the same inputs wherever it stands; a beginning that shows otherwise is not used.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from bridge.errors import ToolError
from bridge.quantize.plan import Plan
from bridge.recover.batches import Batch, Runner
from bridge.recover.work import work_of_each
from bridge.recover.working_file import WorkingFile
from bridge.tflite import model as tflite
from bridge.tflite.stretch import MOST_ENDS

KEPT_VALUES = 16 << 20  # bytes at the beginning, of all samples; twice that while it moves on
SMALLEST_STEP = 0.05  # of the work of the whole file: opening the file once more takes as long


class Tail:
    """What is left to run of a file.

    Args:
        file: changes from plan to plan.
        samples: what the whole file is fed.
        threads: at most so many.
    """

    def __init__(self, file: WorkingFile, samples: Callable[[], Sequence[Batch]], threads: int) -> None:
        self._file, self._samples, self._threads = file, samples, threads
        self._first = self._writings = 0
        self._inputs: tuple[int, ...] = ()
        self._batches: Sequence[Batch] = ()
        self._work: list[float] = []  # of the operators in front of each operator, and of all
        self._trusted: dict[int, bool] = {}

    def open(self, plan: Plan) -> tuple[Runner, Sequence[Batch]]:
        """What computes the outputs of the file, and from what; to be run before another plan is asked for."""
        model = self._file.model(plan)
        main = tflite.main_graph(model)
        if self._file.writings != self._writings:
            self._writings, self._trusted = self._file.writings, {}
            self._work = [0.0, *itertools.accumulate(work_of_each(model))]
        intact, self._file.intact = self._file.intact, len(main.operators)
        if intact < self._first:
            self._first, self._batches = 0, ()
        if self._first < intact < len(main.operators) and self._work[intact] - self._work[self._first] > SMALLEST_STEP * self._work[-1]:
            self._move(plan, model, intact)
        return self._runner(plan, self._first, self._inputs), self._batches or self._samples()

    def _runner(self, plan: Plan, first: int, inputs: Sequence[int], last: int | None = None, outputs: Sequence[int] | None = None) -> Runner:
        if not first and last is None:
            return Runner(self._file.of(plan), threads=self._threads)
        operators = len(tflite.main_graph(self._file.model(plan)).operators)
        inputs = inputs if first else tflite.main_graph(self._file.model(plan)).inputs
        return Runner(self._file.stretch(plan, first, operators if last is None else last, inputs, outputs), threads=self._threads)

    def _move(self, plan: Plan, model: tflite.ModelT, first: int) -> None:
        """Lets the file begin at an operator, where that can be."""
        tensors, before = _passed(model, first), self._batches or self._samples()
        shapes = [tflite.shape(tflite.main_graph(model).tensors[tensor]) for tensor in tensors]
        kept = sum(batch.size for batch in before) * sum(_bytes(model, tensor) for tensor in tensors)
        if not tensors or kept > KEPT_VALUES or not self._trusted.get(first, True):
            return
        names = [tflite.text(tflite.main_graph(model).tensors[tensor].name) for tensor in tensors]
        try:
            found = self._runner(plan, self._first, self._inputs, first, tensors).run([replace(one, samples=one.size) for one in before])
            after = [replace(one, feeds=dict(zip(names, values, strict=True))) for one, values in zip(before, found, strict=True)]
            if first not in self._trusted:
                self._trusted[first] = all(
                    value.shape == ((batch.size, *shape[1:]) if batch.size > 1 else shape)
                    for batch, values in zip(before, found, strict=True)
                    for value, shape in zip(values, shapes, strict=True)
                ) and _equal(
                    self._runner(plan, self._first, self._inputs).run(before[:1]),
                    self._runner(plan, first, tensors).run(after[:1]),
                )
        except ToolError:
            self._trusted[first] = False
        if self._trusted[first]:
            self._first, self._inputs, self._batches = first, tensors, after


def _passed(model: tflite.ModelT, first: int) -> tuple[int, ...]:
    """Tensors that the operators from one on, and the outputs of the file, take from what comes before; none where these cannot be fed."""
    main = tflite.main_graph(model)
    fed = {int(tensor) for tensor in main.inputs}
    fixed: set[int] = set()
    for op in main.operators[:first]:
        (fed if fed.intersection(map(int, op.inputs)) else fixed).update(map(int, op.outputs))
    taken = {int(tensor) for op in main.operators[first:] for tensor in op.inputs} | {int(tensor) for tensor in main.outputs}
    passed = tuple(sorted(taken & fed))
    names = {main.tensors[tensor].name for tensor in passed}
    plain = all(main.tensors[tensor].type in tflite.DTYPES for tensor in passed)
    return passed if plain and len(names) == len(passed) <= MOST_ENDS and not taken & fixed else ()


def _bytes(model: tflite.ModelT, tensor: int) -> int:
    one = tflite.main_graph(model).tensors[tensor]
    return math.prod(tflite.shape(one)) * tflite.dtype(one).itemsize


def _equal(expected: Sequence[Sequence[np.ndarray]], received: Sequence[Sequence[np.ndarray]]) -> bool:
    """Whether all bits are the same."""
    pairs = [pair for values in zip(expected, received, strict=True) for pair in zip(*values, strict=True)]
    return all(one.shape == other.shape and one.tobytes() == other.tobytes() for one, other in pairs)
