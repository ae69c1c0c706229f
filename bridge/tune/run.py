"""One search from its start to a file that `convert` makes again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bridge import quantize
from bridge.preparing import Prepared, Request
from bridge.progress import Stages
from bridge.tune.goal import Goal
from bridge.tune.lab import Lab
from bridge.tune.levels import groups
from bridge.tune.noise import Noise, measure_noise
from bridge.tune.result import front
from bridge.tune.search import Found, Search
from bridge.tune.settings import Setting
from bridge.tune.space import Space
from bridge.tune.start import Settings, observer_of
from bridge.tune.surrogate import Surrogate
from bridge.tune.trial import Spec

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
        space: what can be chosen, once the start is known.
        history: every set that was measured in the search.
        searching: the search, once it has begun.
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
    space: Space | None = None
    history: list[Found] = field(default_factory=list)
    searching: Search | None = None

    def search(self, first: Setting, observers: Sequence[str]) -> Outcome:
        """Chooses ranges, searches, and measures the result as `convert` makes it."""
        asked = self.settings.asked
        setting, kept = first, tuple[str, ...]()
        try:
            with self.stages("choose ranges"):
                setting = self._observed(first, observers, asked)
                plain, (setting, kept) = setting, self._recovered(setting, asked)
            with self.stages("rank"):
                noise, placed = self._noise(setting, asked)
                owners = self.prepared.converted.tensor_map.owners
                by = None if self.level == "node" else groups(self.prepared.opened.graph.nodes, self.level)
                self.space = Space(noise.graph, owners, asked, placed, groups=by, choices=self.choices)
                surrogate = Surrogate(noise, self.space)
            with self.stages("search"):
                self.searching = Search(
                    self.lab, self.space, surrogate, self.goal, setting.name, max(1, self.trials - self.lab.asked), history=self.history
                )
                searched = self.searching.run()
            with self.stages("confirm"):
                best, methods, searched = self._confirmed(searched, plain)
        except KeyboardInterrupt:
            if not self.history or self.searching is None:
                raise
            searched = self.searching.nearest
            return Outcome(searched, searched, setting.name, observer_of(setting), kept, interrupted=True)
        return Outcome(best, searched, setting.name, observer_of(setting), methods)

    def _observed(self, first: Setting, observers: Sequence[str], asked: Sequence[str]) -> Setting:
        """The setting of the observer whose file without floats is best."""
        found = [first, *(self.settings.observed(observer, self.stages.progress.advance) for observer in observers[1:])]
        for setting in found[1:]:
            self.lab.workload.with_setting(setting)
        trials = self.lab.measure([Spec(tuple(asked), setting.name, latency=self.goal.timed) for setting in found])
        worst = [min(output.sqnr_db for output in trial.outputs) for trial in trials]
        return found[worst.index(max(worst))]

    def _recovered(self, setting: Setting, asked: Sequence[str]) -> tuple[Setting, tuple[str, ...]]:
        """With accuracy recovery, where that is better."""
        made, kept = self.settings.recovered(setting, asked)
        if not kept:
            return setting, ()
        self.lab.workload.with_setting(made)
        before, after = self.lab.measure([Spec(tuple(asked), one.name, latency=self.goal.timed) for one in (setting, made)])
        better = min(output.sqnr_db for output in after.outputs) > min(output.sqnr_db for output in before.outputs)
        return (made, kept) if better else (setting, ())

    def _noise(self, setting: Setting, asked: Sequence[str]) -> tuple[Noise, list[str]]:
        """What each operator adds to the outputs, and the precision that each has at the start."""
        converted = self.prepared.converted
        with TemporaryDirectory(prefix="bridge-") as folder:
            quantized = quantize.quantize(
                converted.path, Path(folder) / "start.tflite", ranges=setting.ranges, op_precisions=asked, corrections=setting.corrections
            )
            noise = measure_noise(converted, quantized, self.prepared.data.evaluation, threads=self.request.threads)
        return noise, [op.precision for op in quantized.ops]

    def _confirmed(self, searched: Found, plain: Setting) -> tuple[Found, tuple[str, ...] | None, Found]:
        """The cheapest set that meets the target as `convert` makes it, on all samples: with recovery fitted to its precisions, or without any.

        Where none does, the cheapest that was tried.
        """
        lab = self.on_all()
        candidates = [one for one in front(self.history) if one.met and one.affordable == searched.affordable][:FINAL] or [searched]
        tried = []
        for one in candidates:
            for recovers in (True, False) if self.prepared.recovers else (False,):
                tried.append((*self._as_converted(lab, one, plain, recovers=recovers), one))
                if tried[-1][0].met and tried[-1][0].affordable == searched.affordable:
                    return tried[-1]
        return tried[0]

    def _as_converted(self, lab: Lab, found: Found, plain: Setting, *, recovers: bool) -> tuple[Found, tuple[str, ...] | None]:
        assert self.space is not None
        asked = self.space.op_precisions(found.assignment)
        setting, kept = self.settings.recovered(plain, asked) if recovers else (plain, None)
        lab.workload.with_setting(setting)
        (trial,) = lab.measure([Spec(asked, setting.name, latency=self.goal.timed)])
        return replace(found, trial=trial, met=self.goal.met(trial), affordable=self.goal.affordable(trial)), kept
