"""Faults of rule files that show without converting anything."""

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from bridge.errors import RuleError
from bridge.rules.apply import decide, examine, idle_message, may_be_idle
from bridge.rules.context import Context
from bridge.rules.files import RuleFile, load
from bridge.rules.findings import Findings
from bridge.rules.replacing import decide_replacement, undefined
from bridge.rules.schema import Rule, standard_operators, unknown_operators
from bridge.rules.tensor_ranges import decide_ranges, refuse_integers
from bridge.rules.wording import closest, listed
from bridge.types import Decision, Diagnostic, NodeFacts, RangeDecision, ReplacementDecision

# What a rule can decide; each is decided apart.
_DECIDES: tuple[Callable[[Rule], bool], ...] = (
    lambda rule: rule.precision is not None,
    lambda rule: rule.sets_range,
    lambda rule: rule.replace is not None,
)


ANY_PRECISION = "static_wi8_ai8"  # of nodes without a rule, which are not asked for
GENERAL_FIRST = "Later rules win: put the more general rule first."


class Place(Struct, frozen=True):
    """Where a rule stands."""

    file: str
    line: int
    id: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: rule {self.id!r}"

    def after(self) -> str:
        """As a part of a sentence."""
        return f"{self.id!r} ({self.file}:{self.line})"


def check(names_or_paths: Sequence[str | Path], *, nodes: Sequence[NodeFacts] | None = None) -> tuple[Diagnostic, ...]:
    """All faults of the files, read in order as `load` does.

    Args:
        names_or_paths: packs and files, in the order in which they would be applied.
        nodes: of the model they are meant for, in topological order; without them nothing is said about what rules match.

    Returns:
        Errors `rule-file` (unreadable or malformed), `rule-matches-nothing` and `rule-impossible` (an action that its nodes do not allow), warnings
        `rule-unreachable` and `rule-unknown-operator`, and as information the optional rules that match nothing, or decide nothing, in this model.
    """
    files: list[RuleFile] = []
    found: list[Diagnostic] = []
    for name in names_or_paths:
        try:
            files.extend(load((name,)))
        except RuleError as error:
            found.extend(error.findings)
    for file in files:
        for rule, line in zip(file.rules, file.lines, strict=True):
            found.extend(_unknown_operators(file, rule, line))
    never = _unreachable(files)
    found.extend(diagnostic for _, diagnostic in never)
    if nodes is not None:
        context = Context(nodes)
        findings = examine(files, context)
        found.extend(_idle(findings, context))
        found.extend(_unreachable_here(findings, nodes, {place for place, _ in never}))
        found.extend(_impossible(findings, nodes))
    return tuple(found)


def _unknown_operators(file: RuleFile, rule: Rule, line: int) -> list[Diagnostic]:
    names = unknown_operators(rule)
    if not names:
        return []
    guess = closest(names[0], standard_operators(), cutoff=0.5)
    message = f"{file.label}:{line}: rule {rule.id!r}: ONNX has no operator {listed(names)}{guess}"
    return [Diagnostic("rule-unknown-operator", "warning", message, "For a custom operator add a condition of kind 'domain'.")]


def _unreachable(files: Sequence[RuleFile]) -> list[tuple[Place, Diagnostic]]:
    """Rules all of whose nodes later rules take, whatever the model: each condition of a later one covers one of theirs, for each thing they decide."""
    rules = [(Place(file.label, line, rule.id), rule) for file in _standing(files) for rule, line in zip(file.rules, file.lines, strict=True)]
    found = []
    for index, (place, rule) in enumerate(rules):
        takers = [(later_place, later) for later_place, later in rules[index + 1 :] if _takes(later, rule)]
        wanted = [[later_place for later_place, later in takers if decides(later)] for decides in _DECIDES if decides(rule)]
        if wanted and all(wanted):
            text = f"{place} never decides: {wanted[0][0].after()} takes all its nodes"
            found.append((place, Diagnostic("rule-unreachable", "warning", text, GENERAL_FIRST)))
    return found


def _takes(later: Rule, rule: Rule) -> bool:
    """Whether the later rule matches every node that the earlier one does."""
    return all(any(general.covers(special) for special in rule.match) for general in later.match)


def _standing(files: Sequence[RuleFile]) -> Sequence[RuleFile]:
    """The files that no later one takes back."""
    return files[max((index for index, file in enumerate(files) if file.reset), default=0) :]


def _unreachable_here(findings: Sequence[Findings], nodes: Sequence[NodeFacts], known: Collection[Place]) -> list[Diagnostic]:
    """Rules that match nodes of this model, and decide for none of them; without those that are `known` to be so in every model."""
    deciding = {(one.file, one.line) for one in _rulings(findings, nodes)}
    found = []
    for index, one in enumerate(findings):
        place = Place(one.file.label, one.line, one.rule.id)
        if not one.matched or one.taken_back_by is not None or place in known or (place.file, place.line) in deciding:
            continue
        later = [Place(other.file.label, other.line, other.rule.id) for other in findings[index + 1 :] if one.matched & other.matched]
        if not later:
            continue  # what it asks for cannot be done to its nodes, which is said elsewhere
        text = f"{place} decides for none of the {len(one.matched)} nodes that it matches in this model: later ones do: {', '.join(map(Place.after, later))}"
        found.append(Diagnostic("rule-unreachable", "info" if one.rule.optional else "warning", text, GENERAL_FIRST))
    return found


def _rulings(findings: Sequence[Findings], nodes: Sequence[NodeFacts]) -> Iterator[Decision | RangeDecision | ReplacementDecision]:
    """Everything that is decided about the nodes."""
    yield from (decide(node, findings, ANY_PRECISION) for node in nodes)
    yield from decide_ranges(nodes, findings).values()
    yield from (ruling for node in nodes if (ruling := decide_replacement(node, findings)) is not None)


def _impossible(findings: Sequence[Findings], nodes: Sequence[NodeFacts]) -> list[Diagnostic]:
    """Actions that cannot be done to the nodes they are meant for."""
    found: list[Diagnostic] = []
    for look in (refuse_integers, undefined):
        try:
            found.extend(look(findings, nodes))
        except RuleError as error:
            found.extend(Diagnostic("rule-impossible", "error", message, error.hint) for message in error.message.split("\n"))
    return found


def _idle(findings: Sequence[Findings], context: Context) -> list[Diagnostic]:
    return [
        Diagnostic("rule-matches-nothing", "info" if may_be_idle(found.rule, context) else "error", idle_message(found, context))
        for found in findings
        if not found.matched
    ]
