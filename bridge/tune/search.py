"""Finds a small set of nodes that have to be wider than int8 for a target: proposals of the surrogate, held against trials.

1. The surrogate proposes the cheapest set for the target; a trial says by how much it was wrong, the next proposal takes that into account.
2. What turns out not to be needed is taken out again.
3. What can be int8 weights with wider activations instead of float becomes that.
4. The most expensive members are exchanged for cheaper ones.

Every set that counts was measured. Two trials at a time, however many workers there are, so that the same call finds the same set.
"""

import itertools
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bridge.tune.goal import Goal
from bridge.tune.lab import Lab
from bridge.tune.space import FLOAT, Assignment, Space
from bridge.tune.surrogate import Surrogate, decibels
from bridge.tune.trial import Spec, Trial
from bridge.types import OutputResult

ROUNDS = 4  # of proposals, at most
STEP_DB = 1.5  # between the two proposals that are tried at a time
MOST_BIAS_DB = 60.0
CLOSE_DB = 0.5  # between a level that holds and one that does not
REACH_DB = 40.0  # above the file without floats there is nothing to look for
GROUPS = 8  # that removal begins with
NARROWED, HALVED = 2, 8  # rounds of proposals of a wider integer precision, halves that are tried
SWAPPED = 6  # members that are exchanged, and others tried for each
EXPLAINED = 12  # members that trials are kept for, to say what each is worth
RATED = 200  # the cheapest others that the surrogate is asked about
PATIENCE = 16  # exchanges in vain

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A measured set.

    Attributes:
        assignment: candidate -> precision, where it is not that of the start.
        trial: what was measured.
        cost: of the assignment, as `Space.cost`.
        met: whether it meets the target.
        affordable: whether it keeps to the budgets.
    """

    assignment: Assignment
    trial: Trial
    cost: float
    met: bool
    affordable: bool

    @property
    def worst_db(self) -> float:
        """The lowest SQNR of an output."""
        return min((output.sqnr_db for output in self.trial.outputs), default=np.inf)


@dataclass(slots=True)
class Budget:
    """Trials that may still be made, by all searches together."""

    left: int


@dataclass(slots=True, eq=False)
class Search:
    """Looks for the cheapest set.

    Args:
        lab: measures.
        space: what can be chosen.
        surrogate: proposes.
        goal: what is asked for.
        setting: name of the ranges and corrections.
        budget: trials that may still be made.
        margin_db: SQNR beyond what the target asks for; where it asks for something else this does nothing.

    Attributes:
        history: every measured set, in order.
    """

    lab: Lab
    space: Space
    surrogate: Surrogate
    goal: Goal
    setting: str
    budget: Budget
    margin_db: float = 0.0
    history: list[Found] = field(default_factory=list)
    _bias: np.ndarray = field(init=False)
    _between: tuple[float, float] | None = None
    _known: dict[tuple[str, ...], Found] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._bias = np.zeros(len(self.surrogate.outputs))

    @property
    def best(self) -> Found | None:
        """The cheapest that meets the target within the budgets, else the cheapest that meets the target; None before there is one."""
        met = [one for one in self.history if one.met]
        return min(met, key=lambda one: (not one.affordable, one.cost), default=None)

    @property
    def nearest(self) -> Found:
        """The best, or without one the set that comes nearest to the target."""
        return self.best or max(self.history, key=lambda one: (one.worst_db, -one.cost))

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """How good the nearest set is, in an order of searches: the least first."""
        found = self.nearest
        return not found.met, not found.affordable, found.cost if found.met else -found.worst_db

    @property
    def left(self) -> int:
        """Trials that may still be made."""
        return self.budget.left

    @property
    def done(self) -> bool:
        """Whether nothing has to be wider than int8 at all."""
        return self.history[0].met and self.history[0].affordable

    def approach(self, rounds: int) -> None:
        """Looks for sets that just meet the target, by the surrogate's proposals; again where it stopped."""
        (start,) = self.measure([{}])
        if self.done:
            return
        if len(self.history) == 1:
            self._learn(start)
        asked = self._asked(start)
        if asked is None:
            self._by_level(start, rounds)
        else:
            self._by_target(asked, rounds)

    def finish(self) -> Found:
        """Makes the best set smaller until nothing gets better or the trials are used up."""
        if self.done:
            return self.history[0]
        self.approach(ROUNDS)
        if self.best is None:
            self._everything()
        if self.best is not None:
            self._narrow()
            self._remove()
            self._swap()
            self._explain()
        return self.nearest

    def measure(self, assignments: Sequence[Assignment]) -> list[Found]:
        """Trials of several sets side by side; those that were measured before count nothing."""
        specs = [Spec(self.space.op_precisions(one), self.setting, latency=self.goal.timed) for one in assignments]
        fresh = [place for place, spec in enumerate(specs) if spec.op_precisions not in self._known and spec not in specs[:place]][
            : max(0, self.left)
        ]
        before = self.lab.asked
        measured = self.lab.measure([specs[place] for place in fresh])
        self.budget.left -= self.lab.asked - before
        for place, trial in zip(fresh, measured, strict=True):
            met = self.goal.met(trial) and self._beyond(trial)
            one = Found(assignments[place], trial, self.space.cost(assignments[place]), met, self.goal.affordable(trial))
            self._known[specs[place].op_precisions] = one
            self.history.append(one)
            logger.info("%d nodes, cost %.4f, %.2f dB%s", len(one.assignment), one.cost, one.worst_db, ", met" if one.met else "")
        return [self._known[spec.op_precisions] for spec in specs if spec.op_precisions in self._known]

    def _beyond(self, trial: Trial) -> bool:
        asked = self.goal.sqnr_db([output.name for output in trial.outputs]) or {}
        return all(output.sqnr_db >= asked[output.name] + self.margin_db for output in trial.outputs if output.name in asked)

    def _asked(self, found: Found) -> np.ndarray | None:
        """SQNR that is asked of each output that the surrogate predicts; None where the target asks for something else."""
        asked = self.goal.sqnr_db([output.name for output in found.trial.outputs])
        return None if asked is None else np.array([asked.get(output.name, -np.inf) + self.margin_db for output in self._judged(found)])

    def _judged(self, found: Found) -> list[OutputResult]:
        """The outputs of the trial that the surrogate predicts, in its order."""
        graph = self.space.graph
        names = {graph.tensors[graph.outputs[pair.position]].index: pair.name for pair in self.lab.workload.facts.pairs}
        by_name = {output.name: output for output in found.trial.outputs}
        return [by_name[names[tensor]] for tensor in self.surrogate.outputs]

    def _learn(self, found: Found) -> None:
        """By how many dB the surrogate is too confident about each output, from the last trial that is near."""
        predicted = np.array(decibels(self.surrogate.predict(found.assignment)))
        measured = np.array([output.sqnr_db for output in self._judged(found)])
        self._bias = np.clip(np.nan_to_num(predicted - measured, nan=0.0), -MOST_BIAS_DB, MOST_BIAS_DB)

    def _propose(self, levels_db: np.ndarray, *, prefer: str = FLOAT) -> dict[str, str]:
        return self.surrogate.propose(10.0 ** (-(levels_db + self._bias) / 10.0), prefer=prefer)

    def _by_target(self, target_db: np.ndarray, rounds: int, *, prefer: str = FLOAT) -> None:
        """Proposals for the SQNR that is asked for, and for a little more."""
        for _ in range(rounds):
            before = len(self.history)
            found = self.measure([self._propose(level, prefer=prefer) for level in (target_db, target_db + STEP_DB)])
            if len(self.history) == before or not found:
                return
            near = min(found, key=lambda one: np.abs(np.array([output.sqnr_db for output in self._judged(one)]) - target_db).min())
            self._learn(near)

    def _by_level(self, start: Found, rounds: int) -> None:
        """Bisection over one level of SQNR for all outputs, between the start and what is far above it."""
        low, high = self._between or (min(start.worst_db, REACH_DB), min(start.worst_db, REACH_DB) + REACH_DB)
        for _ in range(rounds):
            if high - low < CLOSE_DB or self.left <= 0:
                break
            levels = [low + (high - low) * share for share in (1 / 3, 2 / 3)]
            sets = [self._propose(np.full(len(self._bias), level)) for level in levels]
            for level, found in zip(levels, self.measure(sets), strict=False):
                if found.met and level < high:
                    high = level
                elif not found.met and level < high:
                    low = max(low, level)
        self._between = low, high

    def _everything(self) -> None:
        """Whether the target can be met at all."""
        self.measure([dict.fromkeys(self.space.candidates, FLOAT)])

    def _remove(self) -> None:
        """Takes out what is not needed: several of those at a time that the surrogate misses least for their cost, then the expensive ones one by one."""
        best = self._standing()
        harm = {name: float(self.surrogate.predict(_without(best.assignment, [name])).max()) for name in best.assignment}
        price = {name: self.space.cost({name: precision}) for name, precision in best.assignment.items()}
        size = len(price) // GROUPS
        order = sorted(price, key=lambda name: harm[name] / price[name])
        while size > 1 and self.left > SWAPPED:
            order = [name for name in order if name in self._standing().assignment]
            self._try_without([order[:size], order[size : 2 * size]])
            size //= 2
        for first in range(0, len(price), 2):
            order = sorted((name for name in self._standing().assignment if name in price), key=lambda name: -price[name])
            if self.left <= SWAPPED or first >= len(order):
                return
            self._try_without([[name] for name in order[first : first + 2]])

    def _try_without(self, groups: Sequence[Sequence[str]]) -> None:
        """Whether the best set needs two groups of its members."""
        best = self._standing()
        results = self.measure([_without(best.assignment, group) for group in groups if group])
        if len(results) == len(groups) and all(map(self._holds, results)):
            self.measure([_without(best.assignment, [name for group in groups for name in group])])

    def _narrow(self) -> None:
        """Int8 weights with wider activations in place of float: proposals that prefer them, then halves of what is float in the best set."""
        for choice in (choice for choice in self.space.choices if choice != FLOAT):
            best = self._standing()
            asked = self._asked(best)
            if asked is not None:
                self._by_target(asked, NARROWED, prefer=choice)
                best = self._standing()
            fit = [name for name, precision in best.assignment.items() if precision == FLOAT and choice in self.space.candidates[name].choices]
            groups = [sorted(fit, key=lambda name: -self.space.cost({name: FLOAT}))] if fit else []
            for _ in range(HALVED):
                if not groups or self.left <= SWAPPED:
                    break
                group = groups.pop(0)
                found = self.measure([{**best.assignment, **dict.fromkeys(group, choice)}])
                if found and self._holds(found[0]):
                    best = self._standing()
                elif len(group) > 1:
                    groups += [group[: len(group) // 2], group[len(group) // 2 :]]

    def _swap(self) -> None:
        """Exchanges: without an expensive member, with cheaper ones in its place; those first that the surrogate takes for nearest to the target."""
        failed = 0
        while failed < PATIENCE:
            best = self._standing()
            if self.left <= min(EXPLAINED, len(best.assignment)):  # each member is to be measured once more, for its reason
                return
            self._learn(best)
            tried = [one for one in self._exchanges(best) if self.space.op_precisions(one) not in self._known][:2]
            if not tried:
                return
            self.measure(tried)
            failed = 0 if self._standing() is not best else failed + len(tried)

    def _exchanges(self, best: Found) -> list[Assignment]:
        """Cheaper sets than the best, with the least predicted excess over what the best reaches first."""
        limits = self.surrogate.predict(best.assignment) * 10.0 ** (self._slack_db(best) / 10.0)
        out = sorted(best.assignment, key=lambda name: -self.space.cost({name: best.assignment[name]}))[:SWAPPED]
        rated: list[tuple[float, int, Assignment]] = []
        for name in out:
            less = _without(best.assignment, [name])
            room = best.cost - self.space.cost(less)
            free = sorted((self.space.cost({one: FLOAT}), one) for one in self.space.candidates if one not in best.assignment)
            singles = [(self.surrogate.excess({**less, one: FLOAT}, limits), one) for cost, one in free[:RATED] if cost < room]
            nearest = [one for _, one in sorted(singles)[:SWAPPED]]
            for group in (*((one,) for one in nearest), *itertools.combinations(nearest, 2)):
                made = {**less, **dict.fromkeys(group, FLOAT)}
                if self.space.cost(made) < best.cost:
                    rated.append((self.surrogate.excess(made, limits), len(rated), made))
        return [assignment for _, _, assignment in sorted(rated)]

    def _slack_db(self, best: Found) -> np.ndarray:
        """How much worse than the best the outputs may get."""
        asked = self._asked(best)
        measured = np.array([output.sqnr_db for output in self._judged(best)])
        return np.zeros(len(measured)) if asked is None else np.maximum(0.0, measured - asked)

    def _explain(self) -> None:
        """What each member is worth: the best without it. One that turns out to be worth nothing goes."""
        best, left = self._standing(), True
        while left and self.left > 0:
            order = sorted(best.assignment, key=lambda name: -self.space.cost({name: best.assignment[name]}))
            without = [one for one in (_without(best.assignment, [name]) for name in order) if self.space.op_precisions(one) not in self._known]
            self.measure(without[:2])
            left = len(without) > 0
            best = self._standing()

    def _standing(self) -> Found:
        best = self.best
        assert best is not None
        return best

    def _holds(self, found: Found) -> bool:
        """Whether a set takes the place of the best: it meets the target, and the budgets if the best does."""
        return found.met and (found.affordable or not self._standing().affordable)


def _without(assignment: Assignment, names: Collection[str]) -> Mapping[str, str]:
    return {name: precision for name, precision in assignment.items() if name not in names}
