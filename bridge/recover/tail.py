"""Runs of a file that changes from trial to trial begin behind the operators that compute what they computed in the last one.

The values there are kept: a search goes through the operators in their order, so that less and less of the file has to run. An operator gives
the same bits for the same inputs wherever it stands; a beginning that shows otherwise is not used.
"""

import itertools
import math
from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from bridge.errors import ToolError
from bridge.quantize.plan import Plan
from bridge.recover.batches import Batch, Runner
from bridge.recover.work import work_of_each
from bridge.recover.working_file import WorkingFile
from bridge.tflite import model as tflite
from bridge.tflite.stretch import MOST_ENDS

KEPT_VALUES = 4 << 20  # bytes at the beginning, of all samples; twice that while it moves on
SMALLEST_STEP = 0.05  # of the work of the whole file: opening the file once more takes as long


class Start(Struct, frozen=True, eq=False):
    """Where a run begins.

    Attributes:
        first: operator.
        inputs: tensors that it and what comes behind are fed; none at the first operator stands for those of the file.
        batches: their values.
    """

    first: int
    inputs: tuple[int, ...]
    batches: Sequence[Batch]


class Tail:
    """What is left to run of a file.

    Args:
        file: changes from plan to plan.
        samples: what the whole file is fed.
        threads: at most so many.
    """

    def __init__(self, file: WorkingFile, samples: Callable[[], Sequence[Batch]], threads: int) -> None:
        self._file, self._samples, self._threads = file, samples, threads
        self._start: Start | None = None
        self._writings = 0
        self._work: list[float] = []  # of the operators in front of each operator, and of all
        self._trusted: dict[int, bool] = {}
        self._opened: tuple[Plan, Start, int, Runner] | None = None

    def start(self, plan: Plan) -> Start:
        """Where a run of the file may begin."""
        model = self._file.model(plan)
        operators = len(tflite.main_graph(model).operators)
        if self._file.writings != self._writings:
            self._writings, self._trusted, self._work = self._file.writings, {}, []
        intact, self._file.intact = self._file.intact, operators
        if self._start is not None and intact < self._start.first:
            self._start = None
        start = self._start or self.whole()
        if start.first < intact < operators and self._share(model, start.first, intact) > SMALLEST_STEP:
            self._start = start = self._moved(plan, model, start, intact)
        return start

    def _share(self, model: tflite.ModelT, first: int, last: int) -> float:
        """Of the work of the file, that of the operators from one to another one."""
        self._work = self._work or [0.0, *itertools.accumulate(work_of_each(model))]
        return (self._work[last] - self._work[first]) / max(1.0, self._work[-1])

    def whole(self) -> Start:
        """The first operator."""
        return Start(0, (), self._samples())

    def runner(self, plan: Plan, start: Start, end: Start | None = None) -> Runner:
        """What computes the outputs of the file, or what it is fed at the end of a stretch; to be used before another plan or runner is asked for."""
        opened, self._opened = self._opened, None
        if end is None and opened is not None and opened[0] is plan and opened[1] is start and opened[2] == self._file.handed_out:
            return opened[3]
        if end is None and not start.first:
            return Runner(self._file.of(plan), threads=self._threads)
        main = tflite.main_graph(self._file.model(plan))
        last, outputs = (len(main.operators), None) if end is None else (end.first, end.inputs)
        return Runner(self._file.stretch(plan, start.first, last, start.inputs or main.inputs, outputs), threads=self._threads)

    def _moved(self, plan: Plan, model: tflite.ModelT, start: Start, first: int) -> Start:
        """A start at a later operator, where that can be."""
        passed = _passed(model, first)
        tensors = [tflite.main_graph(model).tensors[tensor] for tensor in passed]
        values = sum(math.prod(tflite.shape(one)) * tflite.dtype(one).itemsize for one in tensors)
        if not passed or values * sum(one.size for one in start.batches) > KEPT_VALUES or not self._trusted.get(first, True):
            return start
        try:
            found = self.runner(plan, start, Start(first, passed, ())).run([replace(one, samples=one.size) for one in start.batches])
            names = [tflite.text(one.name) for one in tensors]
            batches = [replace(one, feeds=dict(zip(names, values, strict=True))) for one, values in zip(start.batches, found, strict=True)]
            moved = Start(first, passed, batches)
            if first not in self._trusted:
                self._trusted[first] = all(map(_has_shapes, batches, itertools.repeat(tensors))) and self._same(plan, start, moved)
        except ToolError:
            self._trusted[first] = False
        return moved if self._trusted[first] else start

    def _same(self, plan: Plan, start: Start, moved: Start) -> bool:
        """Whether the outputs of some samples are the same bits; the runner that shows it is there for the trial."""
        (one,) = self.runner(plan, start).run(start.batches[:1])
        runner = self.runner(plan, moved)
        (other,) = runner.run(moved.batches[:1])
        self._opened = plan, moved, self._file.handed_out, runner
        return all(value.shape == wanted.shape and value.tobytes() == wanted.tobytes() for value, wanted in zip(one, other, strict=True))


def _has_shapes(batch: Batch, tensors: Sequence[tflite.TensorT]) -> bool:
    """Whether tensors have the shapes of the file, with the samples of a batch along the first axis."""
    shapes = [tflite.shape(one) for one in tensors]
    wanted = [(batch.size, *shape[1:]) if batch.size > 1 else shape for shape in shapes]
    return [value.shape for value in batch.feeds.values()] == wanted


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
