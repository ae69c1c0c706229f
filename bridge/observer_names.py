"""The names of observers, as `--observer`, rule files and ranges.json spell them; what they do is in `bridge.calibrate`."""

import re
from typing import Final

from bridge.errors import UsageError

OBSERVER_NAMES: Final = ("min_max", "moving_average", "percentile", "entropy", "mse")
DEFAULT_OBSERVER: Final = "min_max"
DEFAULT_PERCENTILE: Final = 99.99
LOWEST_PERCENTILE: Final = 50.0
PATTERN: Final = rf"^(({'|'.join(OBSERVER_NAMES)})|percentile:[0-9]{{2,3}}(\.[0-9]{{1,9}})?)$"


def parse_observer(text: str) -> tuple[str, float]:
    """Name and percentile of an observer such as `mse` or `percentile:99.9`; the percentile counts for that observer only.

    Raises:
        UsageError: there is no such observer.
    """
    name, _, setting = text.partition(":")
    percentile = float(setting) if setting and re.fullmatch(PATTERN, text) else DEFAULT_PERCENTILE
    if not re.fullmatch(PATTERN, text) or not LOWEST_PERCENTILE <= percentile <= 100.0:
        raise UsageError(
            f"There is no observer {text[:80]!r}.",
            hint=f"Known: {', '.join(OBSERVER_NAMES)}; percentile takes a share in percent, percentile:{DEFAULT_PERCENTILE} if none is given.",
        )
    return name, percentile
