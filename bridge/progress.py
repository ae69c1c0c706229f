"""How long work tells how far it is."""

from typing import Protocol


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
