"""Faults of rule files that show without converting anything."""

from collections.abc import Callable, Sequence
from pathlib import Path

from bridge.errors import RuleError
from bridge.rules.apply import examine, idle_message, may_be_idle
from bridge.rules.context import Context
from bridge.rules.files import RuleFile, load
from bridge.rules.replacing import undefined
from bridge.rules.schema import Rule, standard_operators, unknown_operators
from bridge.rules.tensor_ranges import refuse_integers
from bridge.rules.wording import closest, listed
from bridge.types import Diagnostic, NodeFacts

# What a rule can decide; each is decided apart.
_DECIDES: tuple[Callable[[Rule], bool], ...] = (
    lambda rule: rule.precision is not None,
    lambda rule: rule.sets_range,
    lambda rule: rule.replace is not None,
)


def check(names_or_paths: Sequence[str | Path], *, nodes: Sequence[NodeFacts] | None = None) -> tuple[Diagnostic, ...]:
    """All faults of the files, read in order as `load` does.

    Args:
        names_or_paths: packs and files, in the order in which they would be applied.
        nodes: of the model they are meant for, in topological order; without them the check for rules that match nothing is left out.

    Returns:
        Errors `rule-file` (unreadable or malformed), `rule-matches-nothing` and `rule-impossible` (an action that its nodes do not allow), warnings `rule-unreachable` and `rule-unknown-operator`,
        and as information the optional rules that match nothing.
    """
    files: list[RuleFile] = []
    found: list[Diagnostic] = []
    for name in names_or_paths:
        try:
            files.extend(load((name,)))
        except RuleError as error:
            found.extend(Diagnostic("rule-file", "error", message, error.hint) for message in error.message.split("\n"))
    for file in files:
        for rule, line in zip(file.rules, file.lines, strict=True):
            found.extend(_unknown_operators(file, rule, line))
    found.extend(_unreachable(files))
    if nodes is not None:
        found.extend(_idle(files, nodes))
        found.extend(_impossible(files, nodes))
    return tuple(found)


def _unknown_operators(file: RuleFile, rule: Rule, line: int) -> list[Diagnostic]:
    names = unknown_operators(rule)
    if not names:
        return []
    guess = closest(names[0], standard_operators(), cutoff=0.5)
    message = f"{file.label}:{line}: rule {rule.id!r}: ONNX has no operator {listed(names)}{guess}"
    return [Diagnostic("rule-unknown-operator", "warning", message, "For a custom operator add a condition of kind 'domain'.")]


def _unreachable(files: Sequence[RuleFile]) -> list[Diagnostic]:
    """Rules all of whose nodes later rules take: each condition of a later one is also a condition of theirs, for each thing that they decide."""
    last_reset = max((index for index, file in enumerate(files) if file.reset), default=0)
    rules = [
        (file.label, line, rule, frozenset(rule.match)) for file in files[last_reset:] for rule, line in zip(file.rules, file.lines, strict=True)
    ]
    found = []
    for index, (label, line, rule, match) in enumerate(rules):
        takers = [(later_label, later_line, later) for later_label, later_line, later, later_match in rules[index + 1 :] if later_match <= match]
        wanted = [[taker for taker in takers if decides(taker[2])] for decides in _DECIDES if decides(rule)]
        if wanted and all(wanted):
            later_label, later_line, later = wanted[0][0]
            message = f"{label}:{line}: rule {rule.id!r} never decides: {later.id!r} ({later_label}:{later_line}) takes all its nodes"
            found.append(Diagnostic("rule-unreachable", "warning", message, "Later rules win: put the more general rule first."))
    return found


def _impossible(files: Sequence[RuleFile], nodes: Sequence[NodeFacts]) -> list[Diagnostic]:
    """Actions that cannot be done to the nodes they are meant for."""
    found: list[Diagnostic] = []
    findings = examine(files, Context(nodes))
    for look in (refuse_integers, undefined):
        try:
            found.extend(look(findings, nodes))
        except RuleError as error:
            found.extend(Diagnostic("rule-impossible", "error", message, error.hint) for message in error.message.split("\n"))
    return found


def _idle(files: Sequence[RuleFile], nodes: Sequence[NodeFacts]) -> list[Diagnostic]:
    context = Context(nodes)
    return [
        Diagnostic("rule-matches-nothing", "info" if may_be_idle(found.rule, context) else "error", idle_message(found, context))
        for found in examine(files, context)
        if not found.matched
    ]
