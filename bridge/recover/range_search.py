"""Ranges that minimise the error of the model's outputs rather than that of the tensors.

Coordinate descent over blocks of activations, each trial a run of the real quantized file. How many activations share a block follows from
how many trials the budget allows: one each on a small model, many on a large one. It begins with the ranges that minimise the error of the
tensors: for all activations that one kind of operator writes, for all at once, then block by block.
"""

import logging
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct, field
from msgspec.structs import replace

from bridge.quantize.corrections import Corrections
from bridge.quantize.op_table import OPS, Role, Scales
from bridge.quantize.precisions import PRECISIONS
from bridge.recover.clipping import clipped_ranges
from bridge.recover.method import Method
from bridge.recover.score import Score
from bridge.recover.trials import Made, State, Trials
from bridge.types import Ranges, TensorRange

logger = logging.getLogger(__name__)

STANDARD_ERRORS = 1.0  # a gain that is smaller over the samples is chance
SMALLEST_GAIN_DB = 0.02  # less is chance: how the values of few samples happen to round
CLIPPING_WEIGHTS = (1.0, 4.0)
HOLDS_ALL = "min_max"  # the observer whose ranges cut nothing off
TRIALS_PER_BLOCK = 2.5  # moves that are tried on a block in one round, on average

type Move = Callable[[str, TensorRange], TensorRange]


def _both(factor: float) -> Move:
    return lambda _, span: TensorRange(span.minimum * factor, span.maximum * factor)


def _upper(factor: float) -> Move:
    return lambda _, span: TensorRange(span.minimum, span.maximum * factor if span.maximum > 0 else span.maximum)


def _lower(factor: float) -> Move:
    return lambda _, span: TensorRange(span.minimum * factor if span.minimum < 0 else span.minimum, span.maximum)


def _to(ranges: Mapping[str, TensorRange]) -> Move:
    return lambda name, _: ranges[name]


# Rounds over the blocks, after one with the ranges that minimise the error of the tensor. The first move that helps is repeated while it helps.
ROUNDS: tuple[tuple[Move, ...], ...] = (
    (_both(0.87), _both(1.1)),
    (_upper(0.87), _lower(0.87)),
    (_upper(1.1), _lower(1.1)),
)


class _Search(Struct):
    """The best ranges so far and what the search has spent.

    Attributes:
        widest: ranges that hold all calibration samples, empty where there are none: a wider one only makes steps larger.
    """

    trials: Trials
    ranges: Ranges
    corrections: Corrections
    left: int
    fit: Score
    check: Score
    widest: Mapping[str, TensorRange]
    seen: set[Hashable] = field(default_factory=set)

    def attempt(self, tensors: Sequence[str], move: Move) -> bool:
        """Moves the ranges of some tensors; keeps that if the fit samples gain and the others do not lose."""
        if self.left <= 0:
            return False
        moved = {name: self._narrowed(name, move(name, self.ranges.tensors[name])) for name in tensors}
        if all(span == self.ranges.tensors[name] for name, span in moved.items()):
            return False
        tried = replace(self.ranges, tensors=MappingProxyType({**self.ranges.tensors, **moved}))
        plan = self.trials.plan(State(tried, self.corrections))
        forms = plan.forms()
        if forms in self.seen:  # the tensors have the scale of another one, or the file is an old acquaintance
            return False
        self.seen.add(forms)
        self.left -= 1
        made = self.trials.made(plan)
        fit = self.trials.better(made, "fit", self.fit, by_db=SMALLEST_GAIN_DB, errors=STANDARD_ERRORS)
        check = None if fit is None else self.trials.better(made, "check", self.check)
        if fit is None or check is None:
            return False
        self.ranges, self.fit, self.check = tried, fit, check
        return True

    def _narrowed(self, name: str, span: TensorRange) -> TensorRange:
        widest = self.widest.get(name, span)
        return TensorRange(max(span.minimum, widest.minimum), min(span.maximum, widest.maximum))


def search(trials: Trials, state: State) -> State:
    """The state with better ranges for its activations; as it is where none are found."""
    made = trials.quantize(state)
    tensors = _own_ranges(trials, made)
    if state.ranges is None or not tensors:
        return state
    found = _Search(
        trials,
        state.ranges,
        state.corrections,
        trials.affordable,
        trials.score(state, "fit"),
        trials.score(state, "check"),
        state.ranges.tensors if state.ranges.observer == HOLDS_ALL else {},
        {made.plan.forms()},
    )
    candidates = [_to(one) for one in (*clipped_ranges(trials, state.ranges.tensors, list(tensors), CLIPPING_WEIGHTS), state.ranges.tensors)]
    for alike in (*_by_kind(tensors), list(tensors)):
        _descend(found, alike, candidates)
    found.attempt(list(tensors), _both(0.9))
    for moves in (candidates, *ROUNDS):
        for block in _blocks(list(tensors), found.left):
            _descend(found, block, moves)
    logger.info("range search: %d of %d trials, %.2f dB on the fit samples", trials.affordable - found.left, trials.affordable, found.fit.mean_db)
    return state if found.ranges is state.ranges else trials.found(State(found.ranges, state.corrections), fit=found.fit, check=found.check)


def _descend(found: _Search, block: Sequence[str], moves: Sequence[Move]) -> None:
    """Takes the first move that helps, again and again."""
    for move in moves:
        if found.attempt(block, move):
            while found.attempt(block, move):
                pass
            return


def _blocks(tensors: Sequence[str], trials: int) -> Iterator[Sequence[str]]:
    """Neighbours in the order of computation, in as many blocks as the trials that are left allow."""
    count = max(1, min(len(tensors), int(trials / TRIALS_PER_BLOCK)))
    for block in range(count):
        yield tensors[block * len(tensors) // count : (block + 1) * len(tensors) // count]


def _by_kind(tensors: Mapping[str, str]) -> list[list[str]]:
    """Activations that the same kind of operator writes: like ones want the same, which is found with few trials."""
    return [[name for name, kind in tensors.items() if kind == one] for one in dict.fromkeys(tensors.values())]


def _own_ranges(trials: Trials, made: Made) -> dict[str, str]:
    """Activations that operators on integers read or write in a range of their own, in the order of computation, with what writes them."""
    graph = trials.graph
    integer = {outcome.index for outcome in made.ops if PRECISIONS[outcome.precision].integer}
    found: dict[int, None] = {}
    for op in (graph.ops[index] for index in sorted(integer)):
        row = OPS[op.name]
        kernel = row.kernels[made.ops[op.index].precision]
        read = [tensor for position, tensor in enumerate(op.inputs) if tensor >= 0 and row.input_role(position) is Role.DATA]
        found |= {tensor: None for tensor in read if not graph.tensors[tensor].constant and graph.producers.get(tensor) not in integer}
        if row.scales is not Scales.INHERIT and kernel.fixed_output is None:
            found |= {tensor: None for position, tensor in enumerate(op.outputs) if row.output_role(position) is Role.DATA}
    kinds = {tensor: graph.ops[graph.producers[tensor]].name if tensor in graph.producers else "" for tensor in found}
    return {graph.tensors[tensor].name: kind for tensor, kind in kinds.items() if graph.tensors[tensor].name not in trials.job.fixed_ranges}


RANGE_SEARCH = Method("range_search", "ranges that minimise the error of the outputs", search, changes_ranges=True, errors=STANDARD_ERRORS)
