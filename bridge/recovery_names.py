"""The names of the methods of accuracy recovery, as `--recover` spells them, in the order they run; what they do is in `bridge.recover`."""

from collections.abc import Sequence
from typing import Final

from bridge.errors import UsageError

RECOVERY_NAMES: Final = ("equalization", "range_search", "mse_weights", "adaround", "bias_correction")
DEFAULT_RECOVERY: Final = ("range_search", "bias_correction")


def check_recovery(names: Sequence[str]) -> tuple[str, ...]:
    """The methods in the order they run, each once.

    Raises:
        UsageError: there is no such method.
    """
    unknown = [name for name in names if name not in RECOVERY_NAMES]
    if unknown:
        raise UsageError(f"There is no recovery method {unknown[0][:80]!r}.", hint=f"Known: {', '.join(RECOVERY_NAMES)}; `--no-recover` for none.")
    return tuple(name for name in RECOVERY_NAMES if name in names)
