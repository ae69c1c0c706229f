"""Every finding that bridge can report, by its code: what it means, how one comes to it, what to do. docs/troubleshooting.md is made of it.

A new code needs an entry in the file of its family, and a test marked `@pytest.mark.provokes("code")`.
"""

from bridge.findings.diagnostic import Diagnostic
from bridge.findings.kind import Kind, Severity
from bridge.findings.table import FAMILIES, KINDS

__all__ = ["FAMILIES", "KINDS", "Diagnostic", "Kind", "Severity"]
