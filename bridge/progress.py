"""How long work tells how far it is."""

import contextlib
import time
from collections.abc import Iterator
from typing import Protocol

from bridge import heap
from bridge.outside import Shares


class Progress(Protocol):
    """Told by the pipeline what it is doing; a bar on a terminal, a no-op in a library call."""

    def stage(self, name: str, total: int) -> None:
        """Work called `name` begins, with `total` steps; 0 = unknown."""

    def advance(self, steps: int) -> None:
        """`steps` more steps of the stage are done."""


class Silent:
    """Shows nothing."""

    def stage(self, name: str, total: int) -> None:
        """Ignored."""

    def advance(self, steps: int) -> None:
        """Ignored."""


class BatchProgress(Protocol):
    """Told by a run over several models what it is doing; calls may come from several threads."""

    def begin(self, total: int) -> None:
        """So many models will be converted."""

    def runs(self, name: str, stage: str) -> None:
        """A model is at a stage."""

    def ended(self, name: str, said: str) -> None:
        """A model is done, or failed; `said` tells in a word."""


class SilentBatch:
    """Shows nothing."""

    def begin(self, total: int) -> None:
        """Ignored."""

    def runs(self, name: str, stage: str) -> None:
        """Ignored."""

    def ended(self, name: str, said: str) -> None:
        """Ignored."""


class Stages:
    """Times the stages and tells the progress about them.

    Attributes:
        progress: who is told.
        seconds: name of a stage -> how long it took, all times together.
        shares: what the work spends from now on, and who spends it.
    """

    def __init__(self, progress: Progress) -> None:
        self.progress, self.seconds, self.shares = progress, dict[str, float](), Shares()

    @contextlib.contextmanager
    def __call__(self, name: str, total: int = 0) -> Iterator[None]:
        """A stage that ends with the block; `total` is how many steps it has, 0 if unknown."""
        self.progress.stage(name, total)
        started = time.perf_counter()
        try:
            yield
        finally:
            heap.give_back()
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started
