"""What rules decide, and what they nearly decided."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NearMiss:
    """A node for which all conditions of a rule held but one; `condition` says which one and what was received."""

    node: str
    condition: str


@dataclass(frozen=True, slots=True)
class RangeChoice:
    """How one tensor gets its range where a rule says so; one of the three is given, or `observer` and `clip`.

    Attributes:
        observer: name of an observer, None for the default one.
        fixed: the range itself, whatever the data say.
        clip: the calibrated range is cut to this one.
    """

    observer: str | None = None
    fixed: tuple[float, float] | None = None
    clip: tuple[float, float] | None = None

    def __str__(self) -> str:
        parts = [self.observer] if self.observer else []
        parts += [f"range {self.fixed[0]:g} .. {self.fixed[1]:g}"] if self.fixed else []
        parts += [f"clip {self.clip[0]:g} .. {self.clip[1]:g}"] if self.clip else []
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class RangeDecision:
    """How the tensors that a node writes get their ranges, and the rule that says so.

    Attributes:
        node: `NodeFacts.name`.
        choice: what the rule says.
        rule: its id.
        file: rule file.
        line: line of the rule in it, counted from 1.
        overridden: ids of rules that said something else and were overruled by this one, in their order.
    """

    node: str
    choice: RangeChoice
    rule: str
    file: str
    line: int
    overridden: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """What one rule did. `matched` names every node the rule holds for, also where a later rule decided.

    `near_misses` holds the nearest few, `near_miss_count` says how many there are. `precision` is empty where the rule says nothing about it;
    `range` is None likewise, and `ranges_of` names the nodes whose ranges it decides.
    """

    id: str
    file: str
    line: int
    reason: str
    precision: str
    matched: tuple[str, ...]
    near_misses: tuple[NearMiss, ...] = ()
    near_miss_count: int = 0
    range: RangeChoice | None = None
    ranges_of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """The precision of one node and who decided it.

    Attributes:
        node: `NodeFacts.name`.
        precision: a name of DESIGN's precisions, `static_wi8_ai8` or `float32`, ...
        rule: id of the deciding rule, None for the default precision.
        file: rule file, None without a rule.
        line: line of the rule in it, counted from 1.
        reason: the rule's reason, or why the default applies.
        overridden: ids of rules that matched and were overruled by a later one, in their order.
    """

    node: str
    precision: str
    rule: str | None
    file: str | None
    line: int | None
    reason: str
    overridden: tuple[str, ...] = ()
