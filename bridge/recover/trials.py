"""Quantizes the float file with changed ranges and constants, runs it on calibration samples, and says what that cost."""

import math
import weakref
from collections import OrderedDict
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Literal

import numpy as np
from msgspec import Struct, field
from msgspec.structs import replace

from bridge.compare.samples import Samples
from bridge.quantize.corrections import Corrections
from bridge.quantize.float_graph import graph_of
from bridge.quantize.plan import Plan, make_plan
from bridge.quantize.quantizer import NO_RANGES
from bridge.quantize.spans import spans_by_precision
from bridge.recover.batches import Batch, Feeds, Outputs, Runner, batch_size, free_batch_axis, joined, keeps_samples_apart
from bridge.recover.decisive import show_before_saturation
from bridge.recover.score import Score, noise, signal
from bridge.recover.tail import Start, Tail
from bridge.recover.work import work_of_each
from bridge.recover.working_file import WorkingFile
from bridge.tflite import model as tflite
from bridge.tflite.feeds import feed
from bridge.tflite.run_file import RunFile
from bridge.types import InputBinding, OpOutcome, Ranges

type Part = Literal["fit", "check"]

# Work as in bridge/recover/work.py.
DEFAULT_BUDGET = 2.5e11  # of one method; about 3 s
WORK_PER_OPERATOR = 100_000_000  # planning, writing and loading an operator of a quantized file take 1.2 ms where nothing is known of it
WORK_PER_THREAD = 4e8  # of a trial, from where a second thread gains more than starting it at every step takes
WORK_PER_OPENED_OPERATOR = 4e6  # opening the file once more takes 25 us an operator, with closing it
WORK_PER_STEP = 1.6e8  # of each thread, after which a trial can be given up: starting threads and looking at the result take a tenth of it
FEWEST_TRIALS = 12  # from where it pays to look for where runs may begin
KEPT_FEEDS = 32 << 20  # bytes of the samples of a part, in the layout of the file
KEPT_PLANS = 2  # the best one so far and the last one
CHECK_SHARE = 3  # one of so many samples is held out
MOST_SAMPLES, FEWEST_SAMPLES = 96, 18
SAMPLE_SHARE = 40  # the samples of one trial take at most one of so many parts of the budget


class State(Struct, frozen=True, eq=False):
    """What the quantizer is given."""

    ranges: Ranges | None
    corrections: Corrections = field(default_factory=Corrections)


class Made(Struct, frozen=True, eq=False):
    """What makes a quantized file.

    Attributes:
        plan: of the file.
        ops: what became of each operator.
    """

    plan: Plan
    ops: tuple[OpOutcome, ...]


class Job(Struct, frozen=True):
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
        threads: that run a file, one where another would take longer to start than it gains.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        model = tflite.grown(tflite.read_once(job.float_model))
        self._work_per_sample, self._operators = max(1.0, sum(work_of_each(model))), len(tflite.main_graph(model).operators)
        shown = show_before_saturation(model)
        self._batches: dict[Part, list[Batch]] = {}
        self._made: OrderedDict[State, Made] = OrderedDict()
        self._scores: dict[tuple[State, Part], Score] = {}
        self._columns = shown.decisive
        count = int(min(max(job.budget / SAMPLE_SHARE / self._work_per_sample, FEWEST_SAMPLES), MOST_SAMPLES, len(job.samples)))
        chosen = [position * len(job.samples) // count for position in range(count)]
        self._rows = {
            "fit": [row for place, row in enumerate(chosen) if place % CHECK_SHARE != CHECK_SHARE - 1],
            "check": [row for place, row in enumerate(chosen) if place % CHECK_SHARE == CHECK_SHARE - 1],
        }
        work, opening = self.count("fit") * self._work_per_sample, self._operators * WORK_PER_OPENED_OPERATOR
        self.threads = max(1, min(job.threads, int(work / (WORK_PER_THREAD + opening))))
        self._begins_late = work > opening and self.affordable >= FEWEST_TRIALS
        self._batch, file = 1, None
        if self.possible and (size := batch_size(self._work_per_sample, self.count("fit"))) > 1:
            model, file = self._in_batches(model, size)
        outputs = tuple(tflite.main_graph(model).outputs.tolist())
        self.graph = replace(graph_of(job.float_model), model=model, outputs=outputs)  # operators and tensors are those of the file
        self._file = WorkingFile(self.graph)
        own = weakref.proxy(self)  # a reference in a circle would keep all this in memory to the end
        self._tail = Tail(self._file, lambda: own.batches("fit"), self.threads)
        parts: tuple[Part, ...] = ("fit", "check") if self.possible else ()
        runner = Runner(file or tflite.run_file(model), threads=self.threads) if parts else None
        self._expected = {part: self._run(runner, self.batches(part)) for part in parts if runner is not None}
        self._signal = {part: signal(values) for part, values in self._expected.items()}

    def _in_batches(self, model: tflite.ModelT, size: int) -> tuple[tflite.ModelT, RunFile | None]:
        """The model that takes so many samples at once, and its file; as it is where it cannot."""
        free = tflite.grown(model)
        if not free_batch_axis(free):
            return model, None
        file = tflite.run_file(free)
        if not keeps_samples_apart(file, [self._feed(row) for row in self._rows["fit"][:size]]):
            return model, None
        self._batch = size
        return free, file

    @property
    def possible(self) -> bool:
        """Whether there is anything to measure: an output that is float, and a sample for each part."""
        return bool(self._columns and self._rows["fit"] and self._rows["check"])

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

    @property
    def in_batches(self) -> bool:
        """Whether files take several samples at once, along the first axis of all that they compute."""
        return self._batch > 1

    def feeds(self, part: Part) -> Sequence[Feeds]:
        """What the file is fed for each sample of a part."""
        return [one for batch in self.batches(part) for one in batch.each()]

    def batches(self, part: Part) -> Sequence[Batch]:
        """The same, several samples at once where the file takes them."""
        if part not in self._batches:
            found = joined([self._feed(row) for row in self._rows[part]], self._batch)
            if sum(value.nbytes for one in found for value in one.feeds.values()) > KEPT_FEEDS:
                return found
            self._batches[part] = found
        return self._batches[part]

    def _feed(self, row: int) -> Feeds:
        return feed(self.job.bindings, self.job.samples[row])

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

    def start(self, made: Made, *, before: int) -> Start:
        """Where a run of a file on the fit samples may begin, in front of an operator of it."""
        start = self._start(made)
        return start if start.first <= before else self._tail.whole()

    def _start(self, made: Made) -> Start:
        return self._tail.start(made.plan) if self._begins_late else self._tail.whole()

    def score(self, state: State, part: Part) -> Score:
        """How near the file that a state gives is; measured once."""
        if (state, part) not in self._scores:
            self._scores[state, part] = self.score_file(self.quantize(state), part)
        return self._scores[state, part]

    def found(self, state: State, *, fit: Score, check: Score) -> State:
        """The state, whose scores are known."""
        self._scores[state, "fit"], self._scores[state, "check"] = fit, check
        return state

    def score_file(self, made: Made, part: Part) -> Score:
        """How near a quantized file is."""
        received = self._run(self._runner(made), self.batches(part))
        return Score(self._signal[part], noise(self._expected[part], received))

    def better(self, made: Made, part: Part, than: Score, *, by_db: float = 0.0, errors: float = 0.0) -> Score | None:
        """How near a quantized file is, None if it does not beat another one, which often shows before all samples have run."""
        start = self._start(made) if part == "fit" else Start(0, (), self.batches(part))
        runner, order = self._tail.runner(made.plan, start), self._worst_first(part, than)
        step = self.threads * math.ceil(WORK_PER_STEP / (self._batch * self._work_per_sample))
        found: dict[int, np.ndarray] = {}
        result = None
        for first in range(0, len(order), step):
            some = order[first : first + step]
            received = self._run(runner, [start.batches[at] for at in some])
            found |= {at: noise([self._expected[part][at]], [values]) for at, values in zip(some, received, strict=True)}
            result = Score(self._signal[part], np.concatenate([found[at] for at in sorted(found)]))
            if not result.may_beat(than, by_db=by_db):
                return None
        return result if result is not None and result.beats(than, by_db=by_db, errors=errors) else None

    def _worst_first(self, part: Part, score: Score) -> Sequence[int]:
        """Batches of a part, first those whose samples have most of the noise: what is worse than a score shows there soonest."""
        shares = (score.noise / np.maximum(score.noise.sum(0), np.finfo(np.float64).tiny)).sum(1)
        ends = np.cumsum([batch.samples for batch in self.batches(part)])
        of_each = [float(share.sum()) for share in np.split(shares, ends[:-1])]
        return sorted(range(len(of_each)), key=lambda at: -of_each[at])

    def _runner(self, made: Made) -> Runner:
        return Runner(self._file.of(made.plan), threads=self.threads)

    def _run(self, runner: Runner, batches: Sequence[Batch]) -> list[Outputs]:
        """What the search looks at, each [samples, values]."""
        outputs = runner.run(batches)
        return [[values[place].reshape(batch.samples, -1) for place in self._columns] for batch, values in zip(batches, outputs, strict=True)]
