"""One search from its start to a file that `convert` makes again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from bridge.preparing import Prepared, Request
from bridge.progress import Stages
from bridge.tune.goal import Goal
from bridge.tune.lab import Lab
from bridge.tune.levels import groups
from bridge.tune.noise import Noise, measure_noise
from bridge.tune.result import front
from bridge.tune.search import Budget, Found, Search
from bridge.tune.settings import Setting
from bridge.tune.space import Space
from bridge.tune.start import Settings, observer_of
from bridge.tune.surrogate import Surrogate
from bridge.tune.trial import Spec

APPROACH = 2  # rounds of proposals from each start
LEAST = 3  # trials that a search needs to begin: without floats, and two proposals
FINISHED = 2  # searches that go to their end
SEARCHES, SPARE_DB = 5, 0.1  # in all, where the first ones miss the target on all samples; what is looked for beyond
FINAL = 8  # sets that are tried with accuracy recovery of their own


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What a search found.

    Attributes:
        best: as `convert` makes it again, or the nearest.
        searched: the same set as it was measured while searching, with the corrections of the start.
        setting: ranges and corrections of the search.
        observer: of the ranges.
        recovery: methods that changed `best`; None where it was measured without any.
        interrupted: the user ended the search.
    """

    best: Found
    searched: Found
    setting: str
    observer: str
    recovery: tuple[str, ...] | None
    interrupted: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """A setting to search with, the same without accuracy recovery, and the methods that made the difference."""

    setting: Setting
    plain: Setting
    kept: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class Run:
    """Searches.

    Args:
        prepared: the float file.
        request: what it was made of.
        goal: what is asked for.
        settings: makes ranges and corrections.
        lab: measures.
        on_all: measures on all evaluation samples.
        stages: told about the work.
        choices: precisions to choose from.
        level: what moves together.
        trials: at most so many.

    Attributes:
        searching: the search that goes on, once there is one.
        start: where it started.
        budget: what is left of the trials.
        margin_db: SQNR to look for beyond the target, since the trials' samples flatter the file.
    """

    prepared: Prepared
    request: Request
    goal: Goal
    settings: Settings
    lab: Lab
    on_all: Callable[[], Lab]
    stages: Stages
    choices: Sequence[str]
    level: str
    trials: int
    searching: Search | None = None
    start: Start = field(init=False)
    budget: Budget = field(default_factory=lambda: Budget(0))
    margin_db: float = 0.0
    _noises: dict[str, tuple[Noise, list[str]]] = field(default_factory=dict)

    @property
    def space(self) -> Space:
        """What the search that goes on can choose from."""
        assert self.searching is not None
        return self.searching.space

    @property
    def history(self) -> list[Found]:
        """What that search measured."""
        return self.searching.history if self.searching is not None else []

    def search(self, first: Setting, observers: Sequence[str]) -> Outcome:
        """Chooses ranges, searches, and measures the result as `convert` makes it."""
        asked = self.settings.asked
        try:
            with self.stages("choose ranges"):
                begun = self._begun(first, observers, asked)
            self.budget = Budget(max(1, self.trials - self.lab.asked))
            best, methods, searched = self._confirmed(begun)
        except KeyboardInterrupt:
            if self.searching is None or not self.searching.history:
                raise
            searched = self.searching.nearest
            return self._outcome(searched, searched, self.start.kept or None, interrupted=True)
        return self._outcome(best, searched, methods)

    def _outcome(self, best: Found, searched: Found, methods: tuple[str, ...] | None, *, interrupted: bool = False) -> Outcome:
        return Outcome(best, searched, self.start.setting.name, observer_of(self.start.setting), methods, interrupted)

    def _begun(self, first: Setting, observers: Sequence[str], asked: Sequence[str]) -> list[Start]:
        """Where to search: with the ranges of each observer, and after accuracy recovery of those whose file without floats is best.

        Ranges that clip are better for that file and may be worse where its worst nodes are float.
        """
        found = [Start(first, first)]
        found += [Start(setting, setting) for setting in (self.settings.observed(one, self.stages.progress.advance) for one in observers[1:])]
        for start in found:
            self.lab.workload.with_setting(start.setting)
        trials = self.lab.measure([Spec(tuple(asked), start.setting.name, latency=self.goal.timed) for start in found])
        worst = [min(output.sqnr_db for output in trial.outputs) for trial in trials]
        best = found[worst.index(max(worst))]
        made, kept = self.settings.recovered(best.plain, asked)
        if kept:
            self.lab.workload.with_setting(made)
            found.append(Start(made, best.plain, kept))
        return found

    def _searched(self, starts: Sequence[Start]) -> Found:
        """Begins a search from each start and ends those two that come to the cheapest sets; `searching` is the better one at any time."""
        budget = self.budget
        begun: list[tuple[Start, Search]] = []
        for start in starts:
            if begun and budget.left < LEAST:
                break
            begun.append((start, self._search(start, budget)))
            self._follow(begun)
            begun[-1][1].approach(APPROACH)
            if begun[-1][1].done:
                break
        begun.sort(key=lambda one: one[1].rank)
        for place, (_, search) in enumerate(begun[:FINISHED]):
            search.budget = Budget(budget.left // (FINISHED - place))
            before = search.budget.left
            search.finish()
            budget.left -= before - search.budget.left
            self._follow(begun)
            if search.done:
                break
        assert self.searching is not None
        return self.searching.nearest

    def _follow(self, begun: Sequence[tuple[Start, Search]]) -> None:
        """Goes on with the search that has the cheapest set so far."""
        self.start, self.searching = min((one for one in begun if one[1].history), key=lambda one: one[1].rank, default=begun[0])

    def _search(self, start: Start, budget: Budget) -> Search:
        noise, placed = self._noise(start.setting, self.settings.asked)
        owners = self.prepared.converted.tensor_map.owners
        by = None if self.level == "node" else groups(self.prepared.opened.graph.nodes, self.level)
        space = Space(noise.graph, owners, self.settings.asked, placed, groups=by, choices=self.choices)
        return Search(self.lab, space, Surrogate(noise, space), self.goal, start.setting.name, budget, self.margin_db)

    def _noise(self, setting: Setting, asked: Sequence[str]) -> tuple[Noise, list[str]]:
        """What each operator adds to the outputs, and the precision that each has at the start."""
        if setting.name not in self._noises:
            with self.settings.quantized(setting, asked) as quantized:
                noise = measure_noise(self.prepared.converted, quantized, self.prepared.data.evaluation, threads=self.request.threads)
            self._noises[setting.name] = noise, [op.precision for op in quantized.ops]
        return self._noises[setting.name]

    def _confirmed(self, starts: Sequence[Start]) -> tuple[Found, tuple[str, ...] | None, Found]:
        """Searches, and searches again for what the result misses on all samples as `convert` makes it."""
        for _ in range(SEARCHES):
            with self.stages("search"):
                searched = self._searched(starts)
            with self.stages("confirm"):
                found = self._on_all_samples(searched)
            missed = self._missed_db(found[0])
            if found[0].met or missed is None or self.budget.left < LEAST:
                break
            self.margin_db = max(self.margin_db + missed, found[2].worst_db - found[0].worst_db) + SPARE_DB
        return found

    def _missed_db(self, found: Found) -> float | None:
        """How much SQNR is missing; None where the target asks for something else."""
        asked = self.goal.sqnr_db([output.name for output in found.trial.outputs])
        return None if asked is None else max(asked[output.name] - output.sqnr_db for output in found.trial.outputs if output.name in asked)

    def _on_all_samples(self, searched: Found) -> tuple[Found, tuple[str, ...] | None, Found]:
        """The cheapest set that meets the target as `convert` makes it, on all samples: with recovery fitted to its precisions, or without any.

        Where none does, the one that comes nearest.
        """
        lab = self.on_all()
        candidates = [one for one in front(self.history) if one.met and one.affordable == searched.affordable][:FINAL] or [searched]
        tried = []
        for one in candidates:
            for recovers in (True, False) if self.prepared.recovers else (False,):
                tried.append((*self._as_converted(lab, one, self.start.plain, recovers=recovers), one))
                if tried[-1][0].met and tried[-1][0].affordable == searched.affordable:
                    return tried[-1]
        return max(tried, key=lambda one: one[0].worst_db)

    def _as_converted(self, lab: Lab, found: Found, plain: Setting, *, recovers: bool) -> tuple[Found, tuple[str, ...] | None]:
        asked = self.space.op_precisions(found.assignment)
        setting, kept = self.settings.recovered(plain, asked) if recovers else (plain, None)
        lab.workload.with_setting(setting)
        (trial,) = lab.measure([Spec(asked, setting.name, latency=self.goal.timed)])
        return replace(found, trial=trial, met=self.goal.met(trial), affordable=self.goal.affordable(trial)), kept
