"""Measures trials on an executor, each at most once; keeps what is known on disk."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, as_completed
from pathlib import Path

from bridge.errors import BridgeError, ToolError
from bridge.progress import Progress, Silent
from bridge.tune.cache import TrialCache
from bridge.tune.trial import Spec, Trial, run_trial, trial_key
from bridge.tune.workload import Workload

ROUNDS = 3  # in which trials are sent again together after a worker process died; then one by one, so that the guilty one is known
ALONE = 2  # times that a trial may end its worker when nothing else runs


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
        """One trial per spec, in their order. Those that are timed run when nothing else does, one after the other.

        Raises:
            KeyboardInterrupt: the user has had enough; what was measured by then is kept.
            BridgeError: of a trial, as `run_trial`, with its name; the others that were measured by then are kept.
            ToolError: a trial ends its worker process every time, or the executor gave up.
        """
        new = [spec for spec in dict.fromkeys(specs) if spec not in self._known]
        if new and not self.asked:
            self._progress.stage("trials", self._planned)
        self.asked += len(new)
        for spec in new:
            found = self._cache.get(trial_key(self.workload, spec), spec)
            if found is not None:
                self.cached += 1
                self._learn(found)
        missing = [spec for spec in new if spec not in self._known]
        self._run([spec for spec in missing if not spec.latency])
        for spec in missing:
            if spec.latency:
                self._run([spec])
        return [self._known[spec] for spec in specs]

    def _run(self, specs: Sequence[Spec]) -> None:
        """Measures all of them, also where worker processes die."""
        left = list(specs)
        for _ in range(ROUNDS):
            left = self._send(left)
        for spec in left:
            if all(self._send([spec]) for _ in range(ALONE)):
                raise ToolError(
                    f"Trial of {describe(spec)} ends its worker process every time.",
                    hint="Memory may not suffice: run fewer workers, or larger ones.",
                )

    def _send(self, specs: Sequence[Spec]) -> list[Spec]:
        """Those of the trials that were lost because a worker process died; the others are known then."""
        futures = {self._submit(spec): spec for spec in specs}
        waiting, lost = set(futures), []
        try:
            for future in as_completed(futures):
                waiting.discard(future)
                try:
                    self._keep(future.result())
                except BrokenExecutor:
                    lost.append(futures[future])
                except CancelledError as error:
                    raise ToolError("Whoever runs the trials has gone.", hint="What was measured is kept: run again.") from error
                except BridgeError as error:
                    raise type(error)(f"Trial of {describe(futures[future])}: {error.message}", hint=error.hint, causes=error.causes) from error
        finally:
            for future in waiting:
                if not future.cancel() and future.done() and future.exception() is None:
                    self._keep(future.result())
        return [spec for spec in specs if spec in lost]

    def _submit(self, spec: Spec) -> "Future[Trial]":
        try:
            return self.executor.submit(run_trial, self.workload.folder, spec, self._threads)
        except BrokenExecutor as error:
            raise ToolError(f"The executor takes no more trials: {error}", hint="What was measured is kept: run again.") from error

    def _keep(self, trial: Trial) -> None:
        self._cache.put(trial_key(self.workload, trial.spec), trial)
        self.ran += 1
        self._learn(trial)

    def _learn(self, trial: Trial) -> None:
        self._known[trial.spec] = trial
        self._progress.advance(1)


def describe(spec: Spec) -> str:
    """A trial for people: its setting, and how many operators ask for each precision."""
    counts = Counter(spec.op_precisions).most_common()
    rare = [str(place) for place, name in enumerate(spec.op_precisions) if name != counts[0][0]][:20]
    which = f", operators {', '.join(rare)} unlike most" if rare else ""
    return f"setting {spec.setting!r} with {', '.join(f'{count} {name}' for name, count in counts)}{which}"
