"""What rules decide, and what they nearly decided."""

from msgspec import Struct


class NearMiss(Struct, frozen=True):
    """A node for which all conditions of a rule held but one; `condition` says which one and what was received."""

    node: str
    condition: str


class RangeChoice(Struct, frozen=True):
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


class RangeDecision(Struct, frozen=True):
    """How one tensor gets its range, and the rule that says so.

    Attributes:
        tensor: the user's name of it.
        node: `NodeFacts.name` of the node by which the rule found it: the one that writes it, for a model input one that reads it.
        choice: what the rule says.
        rule: its id.
        file: rule file.
        line: line of the rule in it, counted from 1.
        overridden: ids of rules that said something else and were overruled by this one, in their order.
    """

    tensor: str
    node: str
    choice: RangeChoice
    rule: str
    file: str
    line: int
    overridden: tuple[str, ...] = ()


class ReplacementDecision(Struct, frozen=True):
    """What takes the place of the activation function that a node is, or is a part of, and the rule that says so.

    Attributes:
        node: `NodeFacts.name`.
        name: of a row of `bridge.replacements`.
        rule: its id.
        file: rule file.
        line: line of the rule in it, counted from 1.
        overridden: ids of rules that said something else and were overruled by this one, in their order.
    """

    node: str
    name: str
    rule: str
    file: str
    line: int
    overridden: tuple[str, ...] = ()


class RuleOutcome(Struct, frozen=True):
    """What one rule did. `matched` names every node the rule holds for, also where a later rule decided.

    `near_misses` holds the nearest few, `near_miss_count` says how many there are. `precision` and `replace` are empty where the rule says nothing about
    them; `range` is None likewise. `ranges_of` names the nodes by which it decides ranges, `replaced` those that it replaces.
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
    replace: str = ""
    replaced: tuple[str, ...] = ()


class Decision(Struct, frozen=True):
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
