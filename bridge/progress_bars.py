"""Progress on a terminal's stderr: one line per stage, a bar where the number of steps is known."""

import threading
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, Task, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

RECENT_S = 600.0  # steps of the last so many seconds say how long the rest takes: one step may last a minute


class TimeLeft(TimeRemainingColumn):
    """How long the rest of a stage takes; nothing where it is done, or nobody knows how many steps it has."""

    def render(self, task: Task) -> Text:
        """`0:01:20 left`."""
        return Text("") if task.finished or task.total is None else Text.assemble(super().render(task), " left")


class ProgressBars:
    """A `bridge.progress.Progress` that shows nothing where stderr is no terminal.

    Use as a context manager; the bars vanish when it ends, so that the result stands alone.
    """

    def __init__(self) -> None:
        console = Console(stderr=True)
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeLeft())
        self._bars = Progress(*columns, console=console, transient=True, disable=not console.is_terminal, speed_estimate_period=RECENT_S)
        self._current: TaskID | None = None

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bars.stop()

    def stage(self, name: str, total: int) -> None:
        """The stage before is done; a bar for the new one appears."""
        if self._current is not None:
            task = self._bars.tasks[self._current]
            self._bars.update(self._current, total=task.total or 1, completed=task.total or 1)
            self._bars.stop_task(self._current)
        self._current = self._bars.add_task(name, total=total or None)

    def advance(self, steps: int) -> None:
        """Moves the bar of the current stage."""
        if self._current is not None:
            self._bars.advance(self._current, steps)


class BatchBar:
    """A `bridge.progress.BatchProgress`: one bar for all models and what runs now; where stderr is no terminal, a line for each model that ended."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        columns = (SpinnerColumn(), MofNCompleteColumn(), BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
        self._bar = Progress(*columns, console=self._console, transient=True, disable=not self._console.is_terminal)
        self._task = self._bar.add_task("", total=None)
        self._running, self._done, self._total, self._lock = dict[str, str](), 0, 0, threading.Lock()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def begin(self, total: int) -> None:
        """The bar has so many steps."""
        self._total = total
        self._bar.update(self._task, total=total)

    def runs(self, name: str, stage: str) -> None:
        """Named beside the bar."""
        with self._lock:
            self._running[name] = stage
            self._show()

    def ended(self, name: str, said: str) -> None:
        """One step."""
        with self._lock:
            self._running.pop(name, None)
            self._done += 1
            self._bar.update(self._task, completed=self._done)
            self._show()
            if not self._console.is_terminal:
                from bridge.report.wording import visible  # the formats are loaded late

                self._console.print(Text(f"{self._done}/{self._total} {visible(name)}: {said}"), soft_wrap=True)

    def _show(self) -> None:
        from bridge.report.wording import visible

        said = ", ".join(f"{visible(name, 40)} ({stage})" for name, stage in self._running.items())
        self._bar.update(self._task, description=said)
