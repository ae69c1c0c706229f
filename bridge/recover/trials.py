"""Quantizes the float file with changed ranges and constants, runs it on calibration samples, and says what that cost."""

import functools
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from bridge.compare.cost import MACS
from bridge.compare.samples import Samples
from bridge.quantize.corrections import Corrections
from bridge.quantize.float_graph import read_graph
from bridge.quantize.plan import Plan, make_plan
from bridge.quantize.quantizer import NO_RANGES
from bridge.quantize.spans import spans_by_precision
from bridge.recover.decisive import show_before_saturation
from bridge.recover.score import Score, score
from bridge.recover.working_file import WorkingFile
from bridge.tflite import model as tflite
from bridge.tflite import parallel
from bridge.tflite.feeds import feed
from bridge.tflite.interpreter import Interpreter
from bridge.tflite.parallel import Stream
from bridge.tflite.run_file import RunFile
from bridge.types import InputBinding, OpOutcome, Ranges

type Part = Literal["fit", "check"]
type Columns = Literal["search", "outputs"]
type Feeds = Mapping[str, np.ndarray]
type Outputs = list[np.ndarray]

# Work in units of one multiply-accumulate; rates measured on two x86-64 cores with XNNPACK (int8 about 80e9 a second).
WORK_PER_ELEMENT = 20  # writing one activation
DEFAULT_BUDGET = 2.5e11  # of one method; about 3 s
WORK_PER_OPERATOR = 100_000_000  # planning, writing and loading an operator of a quantized file take 1.2 ms where nothing is known of it
KEPT_FEEDS = 32 << 20  # bytes of the samples of a part, in the layout of the file
KEPT_PLANS = 2  # the best one so far and the last one
CHECK_SHARE = 3  # one of so many samples is held out
MOST_SAMPLES, FEWEST_SAMPLES = 96, 18
SAMPLE_SHARE = 40  # the samples of one trial take at most one of so many parts of the budget


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What the quantizer is given."""

    ranges: Ranges | None
    corrections: Corrections = field(default_factory=Corrections)


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """What makes a quantized file.

    Attributes:
        plan: of the file.
        ops: what became of each operator.
    """

    plan: Plan
    ops: tuple[OpOutcome, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """The file that is to be recovered.

    Attributes:
        float_model: the float TFLite file.
        op_precisions: precision asked for each of its operators.
        precision: of the file as a whole.
        bindings: how samples are fed.
        samples: calibration samples, never those of the evaluation.
        threads: threads that run samples.
        fixed_ranges: tensors whose ranges rules have chosen, so that they stay.
        budget: work that each method may spend on trials.
    """

    float_model: Path
    op_precisions: Sequence[str]
    precision: str
    bindings: Sequence[InputBinding]
    samples: Samples
    threads: int
    fixed_ranges: Set[str] = frozenset()
    budget: float = DEFAULT_BUDGET


class Trials:
    """Runs candidates on two sets of samples without a common one: `fit` to search with, `check` to accept with.

    How many samples and trials are affordable follows from the size of the model alone, never from the clock, so that the same arguments
    give the same result.

    The float file is read once; the trials share one quantized file.

    Args:
        job: the file and its samples.

    Attributes:
        graph: the float file with what the search looks at as further outputs.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        model = tflite.read(job.float_model)
        self._work_per_sample, self._operators = _work(model), len(tflite.main_graph(model).operators)
        shown = show_before_saturation(model)
        self.graph = read_graph(model, where=str(job.float_model))
        self._feeds: dict[Part, list[Feeds]] = {}
        self._made: OrderedDict[State, Made] = OrderedDict()
        self._file = WorkingFile(self.graph)
        self._columns = {"search": shown.decisive, "outputs": shown.outputs}
        count = int(min(max(job.budget / SAMPLE_SHARE / self._work_per_sample, FEWEST_SAMPLES), MOST_SAMPLES, len(job.samples)))
        chosen = [position * len(job.samples) // count for position in range(count)]
        self._rows = {
            "fit": [row for place, row in enumerate(chosen) if place % CHECK_SHARE != CHECK_SHARE - 1],
            "check": [row for place, row in enumerate(chosen) if place % CHECK_SHARE == CHECK_SHARE - 1],
        }
        parts: tuple[Part, ...] = ("fit", "check") if self.possible else ()
        feeds = [one for part in parts for one in self.feeds(part)]
        values = run(tflite.run_file(model), feeds, threads=job.threads) if parts else []
        self._expected = {part: [values.pop(0) for _ in self._rows[part]] for part in parts}

    @property
    def possible(self) -> bool:
        """Whether there is anything to measure: an output that is float, and a sample for each part."""
        return bool(self._columns["search"] and self._rows["fit"] and self._rows["check"])

    @property
    def work(self) -> float:
        """What one trial on the fit samples takes."""
        return len(self._rows["fit"]) * self._work_per_sample + self._operators * WORK_PER_OPERATOR

    @property
    def affordable(self) -> int:
        """How many trials the budget of a method allows."""
        return int(self.job.budget / self.work)

    def count(self, part: Part) -> int:
        """Samples of a part."""
        return len(self._rows[part])

    def feeds(self, part: Part) -> Sequence[Feeds]:
        """What the file is fed for the samples of a part."""
        if part not in self._feeds:
            found: list[Feeds] = [feed(self.job.bindings, self.job.samples[row]) for row in self._rows[part]]
            if sum(value.nbytes for one in found for value in one.values()) > KEPT_FEEDS:
                return found
            self._feeds[part] = found
        return self._feeds[part]

    def plan(self, state: State) -> Plan:
        """What the file that a state gives will hold.

        Raises:
            UsageError: corrections that are not finite or not positive.
        """
        state.corrections.check(len(self.graph.ops))
        return make_plan(
            self.graph,
            self.job.op_precisions,
            spans_by_precision(state.ranges or NO_RANGES),
            corrections=state.corrections,
            given={},
            input_type="FLOAT32",
            output_type="FLOAT32",
        )

    def quantize(self, state: State) -> Made:
        """The file that a state gives, with what the search looks at as further outputs."""
        if state in self._made:
            self._made.move_to_end(state)
            return self._made[state]
        made = self._made[state] = self.made(self.plan(state))
        while len(self._made) > KEPT_PLANS:
            self._made.popitem(last=False)
        return made

    def made(self, plan: Plan) -> Made:
        """The file of a plan."""
        positions = self._file.positions(plan)
        ops = zip(self.graph.ops, plan.ops, positions, strict=True)
        return Made(plan, tuple(OpOutcome(op.index, op.name, one.precision, one.reason, position) for op, one, position in ops))

    def model(self, made: Made) -> tflite.ModelT:
        """The objects of a file, until another one is asked for; nobody changes them."""
        return self._file.model(made.plan)

    def score(self, state: State, part: Part) -> Score:
        """How near the file that a state gives is."""
        return self.score_file(self.quantize(state), part)

    def score_file(self, made: Made, part: Part, *, columns: Columns = "search") -> Score:
        """How near a quantized file is, by what the search looks at or by the outputs themselves."""
        places = self._columns[columns]
        received = run(self._file.of(made.plan), self.feeds(part), threads=self.job.threads)
        return score(_pick(self._expected[part], places), _pick(received, places))


def _pick(values: Sequence[Outputs], places: Sequence[int]) -> list[Outputs]:
    return [[sample[place] for place in places] for sample in values]


def run(model: bytes | RunFile, feeds: Sequence[Feeds], *, threads: int) -> list[Outputs]:
    """Outputs of a file for each set of inputs; copies of the file run side by side, one thread each."""
    found: list[Outputs] = [[] for _ in feeds]

    def work(runner: Interpreter, stream: Stream) -> None:
        for position, values in stream:
            found[position] = runner.run(values)

    tasks = [functools.partial(work, Interpreter(model)) for _ in range(max(1, min(threads, len(feeds))))]
    parallel.run(tasks, Stream(feeds, lambda _: None))
    return found


def _work(model: tflite.ModelT) -> float:
    """Of one run of the file."""
    main = tflite.main_graph(model)
    total = 0.0
    for op in main.operators:
        shapes = tuple(tflite.shape(main.tensors[index]) for index in op.inputs)
        output = tflite.shape(main.tensors[op.outputs[0]])
        macs = MACS.get(tflite.op_name(model, op))
        total += (macs(shapes, output) if macs else 0) + WORK_PER_ELEMENT * math.prod(output)
    return max(total, 1.0)
