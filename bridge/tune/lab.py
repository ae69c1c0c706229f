"""Measures trials on an executor, each at most once; keeps what is known on disk."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, as_completed
from pathlib import Path

from bridge.progress import Progress, Silent
from bridge.tune.cache import TrialCache
from bridge.tune.trial import Spec, Trial, run_trial, trial_key
from bridge.tune.workload import Workload


class Lab:
    """Where trials are measured.

    Args:
        workload: what they are trials of.
        executor: where they run.
        cache: folder of measured trials.
        progress: told of a stage `trials`, which begins with the first call of `measure`, and of every trial that is known.
        planned: how many trials the stage has, 0 if that is unknown.
        threads: of each trial; 1 where several run side by side.

    Attributes:
        asked: different trials asked for so far.
        cached: how many of them the cache knew.
        ran: how many were measured.
    """

    def __init__(
        self, workload: Workload, executor: Executor, cache: Path, progress: Progress | None = None, *, planned: int = 0, threads: int = 1
    ) -> None:
        self.workload, self.executor = workload, executor
        self.asked = self.cached = self.ran = 0
        self._cache, self._progress, self._planned, self._threads = TrialCache(cache), progress or Silent(), planned, threads
        self._known: dict[Spec, Trial] = {}

    def measure(self, specs: Sequence[Spec]) -> list[Trial]:
        """One trial per spec, in their order.

        Raises:
            KeyboardInterrupt: the user has had enough; what was measured by then is in the cache.
            BridgeError: of a trial, as `run_trial`; the others that were measured by then are in the cache.
        """
        if not self.asked:
            self._progress.stage("trials", self._planned)
        new = [spec for spec in dict.fromkeys(specs) if spec not in self._known]
        self.asked += len(new)
        keys = {spec: trial_key(self.workload, spec) for spec in new}
        for spec in new:
            found = self._cache.get(keys[spec], spec)
            if found is not None:
                self.cached += 1
                self._learn(spec, found)
        for spec, trial in self._run([spec for spec in new if spec not in self._known]):
            self._cache.put(keys[spec], trial)
            self.ran += 1
            self._learn(spec, trial)
        return [self._known[spec] for spec in specs]

    def _learn(self, spec: Spec, trial: Trial) -> None:
        self._known[spec] = trial
        self._progress.advance(1)

    def _run(self, specs: Sequence[Spec]) -> Iterator[tuple[Spec, Trial]]:
        """The trials as they arrive."""
        futures = {self.executor.submit(run_trial, self.workload.folder, spec, self._threads): spec for spec in specs}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            for future in futures:
                future.cancel()
