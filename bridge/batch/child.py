"""The process that converts one model of a batch: reads the job from stdin, tells what it does through a pipe, one line of JSON each."""

import json
import os
import pickle
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bridge.batch.jobs import Job
from bridge.custom_ops.modules import load_modules
from bridge.errors import BridgeError
from bridge.report.summary import INTERRUPTED, ModelRow, row_of

PATIENCE_S = 5.0  # between being told to end and being ended


@dataclass(frozen=True, slots=True)
class Told:
    """A `bridge.progress.Progress` that writes the names of the stages."""

    channel: IO[str]

    def stage(self, name: str, total: int) -> None:
        """One line."""
        del total
        say(self.channel, {"stage": name})

    def advance(self, steps: int) -> None:
        """Not told: the parent shows several models, not their bars."""


def say(channel: IO[str], value: object) -> None:
    """One line of JSON, sent at once."""
    channel.write(f"{json.dumps(value)}\n")
    channel.flush()


def main(descriptor: int) -> None:
    """Converts, and tells the row of the summary; an error that is none of ours leaves a traceback on stderr and no row."""
    job, output_dir, force = pickle.load(sys.stdin.buffer)  # from our own parent
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    with os.fdopen(descriptor, "w", encoding="utf-8") as channel:
        try:
            row = convert(job, output_dir, force=force, channel=channel)
        except KeyboardInterrupt:
            raise SystemExit(INTERRUPTED) from None
        say(channel, {"row": row.model_dump(mode="json")})


def convert(job: Job, output_dir: Path, *, force: bool, channel: IO[str]) -> ModelRow:
    """The row of the job."""
    try:
        load_modules(job.custom_ops)
        from bridge import pipeline  # after the user's operators, as the command line does it

        result = pipeline.convert(job.path, output_dir=output_dir, force=force, progress=Told(channel), **job.options)  # type: ignore[arg-type]  # checked by `convert_many`
    except BridgeError as error:
        return ModelRow(name=job.name, model=str(job.path), exit_code=error.exit_code, error=error.message, hint=error.hint)
    return row_of(result.report, name=job.name, model=str(job.path))


def _end_with_the_parent() -> None:
    """When the parent is gone, stdin ends: what it started ends too, with the tools that it runs, instead of going on for nobody."""
    while os.read(0, 1 << 16):
        pass
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(PATIENCE_S)
    os._exit(INTERRUPTED)
