"""One finding."""

from msgspec import Struct

from bridge.findings.kind import Severity
from bridge.findings.table import KINDS


class Diagnostic(Struct, frozen=True):
    """One finding; `code` stands in the table of kinds, `node` is the user's name of the node it is about.

    Raises:
        ValueError: the table does not know the code, or not with that severity.
    """

    code: str
    severity: Severity
    message: str
    hint: str = ""
    node: str | None = None

    def __post_init__(self) -> None:
        kind = KINDS.get(self.code)
        if kind is None or self.severity not in kind.severities:
            raise ValueError(f"bridge/findings has no entry for {self.code!r} as {self.severity}.")
