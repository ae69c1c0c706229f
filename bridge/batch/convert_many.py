"""The run over several models: starts the jobs, collects the rows, keeps the summary on disk as it is known."""

import contextlib
import inspect
import os
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from functools import partial
from importlib.metadata import version
from pathlib import Path

from bridge import pipeline, report, rules
from bridge.batch.cluster import Cluster
from bridge.batch.jobs import SUMMARY, BatchModel, Job, jobs_for
from bridge.batch.process import Processes
from bridge.errors import BridgeError, UsageError, first_line
from bridge.files import check_results_folder
from bridge.observer_names import parse_observer
from bridge.progress import BatchProgress, SilentBatch
from bridge.recovery_names import check_recovery
from bridge.report.summary import ModelRow, Summary
from bridge.report.summary_formats import write

DEFAULT_FOLDER = "bridge-batch"
THREADS = 2  # of a conversion alone
LIVE = ("example_inputs", "progress", "output_dir", "force")  # arguments of `bridge.convert` that no other process can be given


def convert_many(
    models: Sequence[str | Path | BatchModel],
    *,
    output_dir: Path | str = DEFAULT_FOLDER,
    jobs: int = 1,
    dask: str | None = None,
    custom_ops: Sequence[str] = (),
    force: bool = False,
    progress: BatchProgress | None = None,
    **options: object,
) -> Summary:
    """Converts each model as `bridge.convert` does, in a process of its own, and writes one summary of all.

    The results of a model stand in a folder of its own, named after its file. One that fails is a row of the summary and stops no other one. After
    Ctrl-C the models that are done stay, and the summary says which were not converted.

    Args:
        models: paths, or paths with what is said about single ones.
        output_dir: folder for the summary and for the folders with the results.
        jobs: how many are converted at the same time.
        dask: address of a Dask scheduler (`tcp://host:8786`), whose workers convert then, as many at a time as they have threads; files that they do not
            have are sent to them.
        custom_ops: modules that call `bridge.register_op`, imported by each process.
        force: write into folders that hold other files.
        progress: told about the work; silent if None.
        options: arguments of `bridge.convert` for all models, whatever can be pickled; in paths `{stem}` stands for a model's stem, `{dir}` for its folder,
            `{name}` for the folder of its results. `threads` is by default what the jobs leave for each, at most 2.

    Returns:
        One row per model, in their order; `exit_code` is 0 where all are done and meet their gates.

    Raises:
        UsageError: what cannot work for any model; models that cannot be told apart; no cluster at the address.
        RuleError: a rule file is missing or malformed.
    """
    if jobs < 1:
        raise UsageError(f"At least one job is needed. Received: jobs={jobs}.")
    if dask is not None and jobs > 1:
        raise UsageError("On a cluster its workers decide how many models are converted at a time.", hint="Leave out jobs, or dask.")
    if live := [name for name in LIVE if name in options]:
        raise UsageError(f"Several models cannot share {', '.join(live)}.", hint="Convert live models one by one, with bridge.convert.")
    shared = max(1, (os.cpu_count() or 1) // jobs) if dask is None else 1
    chosen = [one if isinstance(one, BatchModel) else BatchModel(Path(one)) for one in models]
    found = jobs_for(chosen, {"threads": min(THREADS, shared)} | options, custom_ops)
    for job in found:
        _check(job)
    target = Path(output_dir)
    check_results_folder(target, force=force, markers=SUMMARY)
    runner = _Run(found, target, jobs if dask is None else None, progress or SilentBatch())
    futures: dict[Future[ModelRow], Job] = {}
    with runner.interruptible(), _submitter(dask, jobs, target, force, runner.tell) as submit:
        runner.begin()
        for job in found:
            futures[submit(job)] = job
        for future in as_completed(futures):
            runner.collect(futures[future], future)
            del futures[future]
    for future, job in futures.items():  # that ended while the run was interrupted
        if future.done() and not future.cancelled():
            runner.collect(job, future)
    return runner.finish()


def _check(job: Job) -> None:
    """Refuses what no process has to be started for."""
    if unknown := [name for name in job.options if name not in inspect.signature(pipeline.convert).parameters]:
        raise UsageError(f"bridge.convert has no argument {unknown[0]!r}.", hint="help(bridge.convert) lists them.")
    try:
        pickle.dumps(job)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise UsageError(
            f"{job.path}: an option cannot be given to another process: {first_line(error)}.",
            hint="Name files and functions instead of passing them.",
        ) from error
    gates, recover, chosen, observer = (job.options.get(name) for name in ("gates", "recover", "rules", "observer"))
    if isinstance(gates, list | tuple):
        report.metrics_of(gates)
    if isinstance(recover, list | tuple):
        check_recovery(recover)
    if isinstance(observer, str):
        parse_observer(observer)
    if isinstance(chosen, list | tuple):
        rules.load(chosen)


type Submit = Callable[[Job], Future[ModelRow]]


@contextlib.contextmanager
def _submitter(dask: str | None, jobs: int, target: Path, force: bool, tell: Callable[[str, str], None]) -> Iterator[Submit]:
    """What starts a job; everything that still runs at the end of the block is ended."""
    if dask is not None:
        with Cluster(dask) as cluster:
            yield lambda job: cluster.submit(job, target / job.name, force=force)
        return
    processes, pool = Processes(), ThreadPoolExecutor(jobs)
    try:
        yield lambda job: pool.submit(processes.run, job, target / job.name, force=force, tell=partial(tell, job.name))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        processes.end()
        pool.shutdown()


class _Run:
    """The rows as they become known, and the summary of them on disk."""

    def __init__(self, jobs: Sequence[Job], target: Path, at_once: int | None, progress: BatchProgress) -> None:
        self._rows: dict[str, ModelRow] = {job.name: ModelRow(name=job.name, model=str(job.path)) for job in jobs}
        self._target, self._at_once, self._progress = target, at_once, progress
        self._begun, self._interrupted = time.perf_counter(), False

    def begin(self) -> None:
        """Says what will be done, on disk too: a run that is killed leaves a summary."""
        self._progress.begin(len(self._rows))
        try:
            self._write()
        except OSError as error:
            raise UsageError(f"{self._target}: cannot write there: {error.strerror}.", hint="Name another folder with -o.") from error

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Ctrl-C ends the block, and is remembered."""
        try:
            yield
        except KeyboardInterrupt:
            self._interrupted = True

    def tell(self, name: str, stage: str) -> None:
        """A job is at a stage."""
        self._progress.runs(name, stage)

    def collect(self, job: Job, future: Future[ModelRow]) -> None:
        """Takes the row of a job that ended."""
        row = _row(job, future)
        self._rows[job.name] = row
        self._progress.ended(job.name, row.verdict)
        self._write()

    def finish(self) -> Summary:
        """The last summary."""
        return self._write()

    def _write(self) -> Summary:
        seconds = time.perf_counter() - self._begun
        rows = tuple(self._rows.values())
        summary = Summary(version=version("tflite-bridge"), jobs=self._at_once, seconds=seconds, interrupted=self._interrupted, models=rows)
        self._target.mkdir(parents=True, exist_ok=True)
        write(summary, self._target)
        return summary


def _row(job: Job, future: Future[ModelRow]) -> ModelRow:
    try:
        return future.result()
    except BridgeError as error:
        return ModelRow(name=job.name, model=str(job.path), exit_code=error.exit_code, error=error.message, hint=error.hint)
    except OSError as error:  # a file that is gone, no space, no further process
        return ModelRow(name=job.name, model=str(job.path), exit_code=1, error=f"{job.path}: {first_line(error)}.")
