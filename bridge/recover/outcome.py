"""What a method did, and whether that stays."""

from msgspec import Struct

from bridge.recover.score import Score
from bridge.types import Diagnostic

TOO_LITTLE = "not tried, it needs three samples and an output that is float"


class Outcome(Struct, frozen=True):
    """What one method did.

    Attributes:
        method: its name.
        kept: whether the result has its changes.
        reason: why it has not; empty when it has.
        before_db: SQNR before, on calibration samples that the method was not fitted on; None when nothing was tried.
        after_db: SQNR with its changes on the same samples.
        samples: how many these are.
    """

    method: str
    kept: bool
    reason: str = ""
    before_db: float | None = None
    after_db: float | None = None
    samples: int = 0

    def diagnostic(self) -> Diagnostic:
        """The same in a sentence."""
        message = f"{self.method}: {'kept' if self.kept else self.reason}"
        if self.before_db is not None and self.after_db is not None:
            message += f"; {self.before_db:.1f} dB before it, {self.after_db:.1f} dB with it on {self.samples} calibration samples not used by it"
        return Diagnostic("recovery", "info", f"{message}.")


def judged(method: str, before: Score, after: Score, *, errors: float = 0.0) -> Outcome:
    """Kept if the samples that the method was not fitted on gain, by more than so many standard errors of the gain."""
    kept = after.beats(before, errors=errors)
    return Outcome(method, kept, "" if kept else "taken back", before.mean_db, after.mean_db, len(before.noise))
