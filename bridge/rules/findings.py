"""What holding the rules against the nodes found, before anything is decided."""

from msgspec import Struct

from bridge.rules.files import RuleFile
from bridge.rules.matcher import BaseMatcher
from bridge.rules.schema import Rule
from bridge.types import NodeFacts


class Miss(Struct, frozen=True):
    """A node for which one condition of a rule did not hold and all others did."""

    node: NodeFacts
    matcher: BaseMatcher
    nearly: bool


class Findings(Struct, frozen=True):
    """One rule held against every node. `taken_back_by` names the later file that resets it, if one does."""

    file: RuleFile
    rule: Rule
    line: int
    matched: frozenset[str]
    misses: tuple[Miss, ...]
    taken_back_by: str | None
