"""What a search and a ranking share: one conversion, the folder of its trials, and what runs them."""

import contextlib
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from bridge import ahead
from bridge.compare.cost import multiply_accumulates
from bridge.errors import UsageError
from bridge.preparing import Prepared, Request, prepare
from bridge.progress import Stages
from bridge.tflite import model as tflite
from bridge.tune.executors import open_executor
from bridge.tune.lab import Lab
from bridge.tune.settings import Setting
from bridge.tune.start import Settings
from bridge.tune.workload import Workload

FOLDER = "trials"
WORK = 1e11  # multiply-accumulates of one trial on all its samples: some seconds of one core
FEWEST = 32  # samples of a trial that measures SQNR


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """One prepared model and where its trials run.

    Attributes:
        prepared: the float file.
        request: what it was made of.
        settings: makes ranges and corrections.
        executor: runs trials.
        folder: holds what was measured, also by earlier calls.
        stages: told about the work.
        threads: of one trial.
    """

    prepared: Prepared
    request: Request
    settings: Settings
    executor: Executor
    folder: Path
    stages: Stages
    threads: int

    def lab(self, settings: Sequence[Setting], *, samples: int, planned: int = 0, name: str = "workload") -> Lab:
        """Measures trials on so many evaluation samples.

        Args:
            settings: ranges and corrections to begin with.
            samples: at most so many, spread evenly.
            planned: how many trials are expected, 0 if that is unknown.
            name: of the folder that the workers read.
        """
        workload = Workload.write(self.folder / name, self.prepared, settings, request=self.request, samples=samples)
        return Lab(workload, self.executor, self.folder / "measured", self.stages.progress, planned=planned, threads=self.threads)

    @property
    def enough_samples(self) -> int:
        """How many samples a trial takes that measures SQNR: what the size of the model allows."""
        macs = multiply_accumulates(tflite.read(self.prepared.converted.path))
        return int(min(len(self.prepared.data.evaluation), max(FEWEST, WORK / max(1, macs))))


@contextlib.contextmanager
def open_session(request: Request, target: Path, *, workers: int, dask: str | None, stages: Stages) -> Iterator[Session]:
    """Converts, and opens what runs trials; that is closed after the block.

    Args:
        request: what the user asks for.
        target: folder of the results; trials go to a folder in it.
        workers: processes that run trials.
        dask: address of a Dask scheduler whose workers run them instead.
        stages: told about the work.

    Raises:
        UsageError: there is no calibration data, or the folder is not writable; as well all that `prepare` and `open_executor` raise.
    """
    if request.calibration is None:
        raise UsageError("Trials need calibration data: on random numbers they would find what random numbers need.", hint="--calibration FILE.npz")
    with open_executor(workers=workers, dask=dask) as executor:
        folder = target / FOLDER
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{target}: cannot write there: {error.strerror}.", hint="Name another folder with -o.") from error
        with ahead.started(request.source):
            prepared = prepare(request, folder, target / "onnx2tf.log", stages)
        each = 1 if workers > 1 or dask is not None else request.threads
        yield Session(prepared, request, Settings(prepared, request), executor, folder, stages, each)


def check_known(option: str, received: Sequence[str], known: Collection[str]) -> None:
    """Refuses what an option does not know, before any work is done.

    Raises:
        UsageError: names what there is.
    """
    for one in received:
        if one not in known:
            raise UsageError(f"{option} cannot be that. Received: {one!r}.", hint=f"Choose of: {', '.join(known)}.")
