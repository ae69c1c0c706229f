"""What a method of accuracy recovery is."""

from collections.abc import Callable

from msgspec import Struct

from bridge.recover.trials import State, Trials


class Method(Struct, frozen=True):
    """One way to win back accuracy.

    Attributes:
        name: the switch.
        summary: one line for people.
        run: the changed state; the same object where there is nothing to change. None for the method that changes the float file instead.
        changes_ranges: whether it does, so that given ranges switch it off.
        errors: how many standard errors of the gain on samples it was not fitted on it has to gain; above 0 for a search that tries so many
            things that some help by chance.
    """

    name: str
    summary: str
    run: Callable[[Trials, State], State] | None
    changes_ranges: bool = False
    errors: float = 0.0
