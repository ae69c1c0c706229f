"""Which precision each node gets, and which range what it writes: rules in order, the later one wins, nothing happens in silence."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct, field

from bridge.errors import RuleError, UsageError
from bridge.rules.context import Context
from bridge.rules.files import RuleFile
from bridge.rules.findings import Findings, Miss
from bridge.rules.matcher import BaseMatcher, Measurement
from bridge.rules.replacing import decide_replacement, undefined
from bridge.rules.schema import PRECISIONS, Rule
from bridge.rules.tensor_ranges import decide_ranges, refuse_integers
from bridge.rules.wording import closest, printable
from bridge.types import Decision, Diagnostic, NearMiss, NodeFacts, RangeDecision, ReplacementDecision, RuleOutcome

KEPT_NEAR_MISSES = 5  # per rule; a report with hundreds of them is not read
DEFAULT_REASON = "no rule matches, so the default precision"


class Applied(Struct, frozen=True):
    """What the rules decided.

    Attributes:
        decisions: one for every node, by its name, in the order of the nodes.
        outcomes: one for every rule, in the order of the files.
        ranges: by tensor, what a rule says about how its range is made.
        replacements: by name, the nodes whose function a rule replaces.
        diagnostics: what rules asked for in vain.
    """

    decisions: Mapping[str, Decision]
    outcomes: tuple[RuleOutcome, ...]
    ranges: Mapping[str, RangeDecision] = field(default_factory=lambda: MappingProxyType({}))
    replacements: Mapping[str, ReplacementDecision] = field(default_factory=lambda: MappingProxyType({}))
    diagnostics: tuple[Diagnostic, ...] = ()


def apply(rule_files: Sequence[RuleFile], nodes: Sequence[NodeFacts], *, default_precision: str, allow_idle: bool = False) -> Applied:
    """Decides the precision of every node.

    Args:
        rule_files: from `load`; a file with `reset` takes back the rules of those before it.
        nodes: in topological order, names unique.
        default_precision: for nodes that no rule matches.
        allow_idle: let any rule match nothing, as if all were optional; for looking at a model, not for converting it.

    Raises:
        RuleError: rules that match nothing and are not optional, or replace what their replacement is not defined for, or give integers a range.
        UsageError: the default precision does not exist.
    """
    if default_precision not in PRECISIONS:
        raise UsageError(
            f"{default_precision!r} is not a precision{closest(default_precision, PRECISIONS)}", hint=f"Precisions: {', '.join(PRECISIONS)}."
        )
    context = Context(nodes)
    findings = examine(rule_files, context)
    if not allow_idle:
        _refuse_idle_rules(findings, context)
    diagnostics = (*refuse_integers(findings, nodes), *undefined(findings, nodes))
    decisions = {node.name: decide(node, findings, default_precision) for node in nodes}
    ranges = decide_ranges(nodes, findings)
    replacements = {node.name: found for node in nodes if (found := decide_replacement(node, findings)) is not None}
    outcomes = tuple(_outcome(found, context, ranges, replacements) for found in findings)
    return Applied(MappingProxyType(decisions), outcomes, MappingProxyType(ranges), MappingProxyType(replacements), diagnostics)


def decisions(rule_files: Sequence[RuleFile], nodes: Sequence[NodeFacts], *, default_precision: str) -> Mapping[str, Decision]:
    """The decisions of `apply` alone, where any rule may match nothing and nobody asks what came near: in half the time."""
    findings = examine(rule_files, Context(nodes), near=False)
    return {node.name: decide(node, findings, default_precision) for node in nodes}


def waits_for_measurement(rule_files: Sequence[RuleFile], nodes: Sequence[NodeFacts]) -> frozenset[Measurement]:
    """What the rules that count ask for and was not measured yet of these nodes."""
    context = Context(nodes)
    standing = (rule for file in rule_files[_last_reset(rule_files) :] for rule in file.rules)
    return frozenset().union(*(matcher.waits(context) for rule in standing for matcher in rule.match))


def examine(rule_files: Sequence[RuleFile], context: Context, *, near: bool = True) -> tuple[Findings, ...]:
    """Holds every rule against every node, and keeps the misses if `near`; complains about nothing."""
    last_reset = _last_reset(rule_files)
    findings = []
    for index, file in enumerate(rule_files):
        taken_back_by = rule_files[last_reset].label if index < last_reset else None
        for rule, line in zip(file.rules, file.lines, strict=True):
            matched, misses = _hold_against(rule, context) if near else (_matched(rule, context), ())
            findings.append(Findings(file, rule, line, matched, misses, taken_back_by))
    return tuple(findings)


def _last_reset(rule_files: Sequence[RuleFile]) -> int:
    """Position of the file that takes back the rules of those before it."""
    return max((index for index, file in enumerate(rule_files) if file.reset), default=0)


def decide(node: NodeFacts, findings: Sequence[Findings], default_precision: str) -> Decision:
    """The last rule with a precision that matches and is not taken back decides; those before it are overridden."""
    matching = [found for found in findings if node.name in found.matched and found.rule.precision is not None]
    standing = [found for found in matching if found.taken_back_by is None]
    if not standing:
        by = matching[-1].taken_back_by if matching else None
        reason = f"{by} takes back the rules before it, so the default precision" if by else DEFAULT_REASON
        return Decision(node.name, default_precision, None, None, None, reason, tuple(found.rule.id for found in matching))
    winner = standing[-1]
    return Decision(
        node.name,
        winner.rule.precision or default_precision,
        winner.rule.id,
        winner.file.label,
        winner.line,
        winner.rule.reason,
        tuple(found.rule.id for found in matching if found is not winner),
    )


def _matched(rule: Rule, context: Context) -> frozenset[str]:
    nodes: Sequence[NodeFacts] = context.nodes
    for matcher in rule.match:
        nodes = matcher.matching(nodes, context)
    return frozenset([node.name for node in nodes])


def _hold_against(rule: Rule, context: Context) -> tuple[frozenset[str], tuple[Miss, ...]]:
    if len(rule.match) == 1:  # it misses every other node by one condition: only those that come close say anything
        (only,) = rule.match
        found = _matched(rule, context)
        return found, tuple([Miss(node, only, True) for node in context.nodes if node.name not in found and only.nearly(node, context)])
    matched, misses = set(), []
    for node in context.nodes:
        failed = None
        for matcher in rule.match:
            if matcher.matches(node, context):
                continue
            if failed is not None:
                break  # by two conditions
            failed = matcher
        else:
            if failed is None:
                matched.add(node.name)
                continue
            misses.append(Miss(node, failed, failed.nearly(node, context)))
    misses.sort(key=lambda miss: not miss.nearly)
    return frozenset(matched), tuple(misses)


def _outcome(found: Findings, context: Context, ranges: Mapping[str, RangeDecision], replacements: Mapping[str, ReplacementDecision]) -> RuleOutcome:
    place = (found.rule.id, found.file.label, found.line)
    kept = found.misses[:KEPT_NEAR_MISSES]
    return RuleOutcome(
        id=found.rule.id,
        file=found.file.label,
        line=found.line,
        reason=found.rule.reason,
        precision=found.rule.precision or "",
        matched=tuple(node.name for node in context.nodes if node.name in found.matched),
        near_misses=tuple(NearMiss(miss.node.name, miss.matcher.refusal(miss.node, context)) for miss in kept),
        near_miss_count=len(found.misses),
        range=found.rule.choice,
        ranges_of=tuple(dict.fromkeys(one.node for one in ranges.values() if (one.rule, one.file, one.line) == place)),
        replace=found.rule.replace or "",
        replaced=tuple(node for node, one in replacements.items() if (one.rule, one.file, one.line) == place),
    )


def _refuse_idle_rules(findings: Sequence[Findings], context: Context) -> None:
    idle = [found for found in findings if not found.matched and not may_be_idle(found.rule, context)]
    if idle:
        raise RuleError(
            "\n".join(idle_message(found, context) for found in idle),
            hint="Correct the match, or write optional = true where a rule may match nothing. `bridge inspect MODEL` lists the nodes.",
            code="rule-matches-nothing",
        )


def may_be_idle(rule: Rule, context: Context) -> bool:
    """Whether the rule may match nothing: it is optional, or asks for a measurement that has not been made yet."""
    return rule.optional or any(matcher.waits(context) for matcher in rule.match)


def idle_message(found: Findings, context: Context) -> str:
    """One line for a rule that matches nothing: where it stands, and the nodes that come nearest or what the model has instead."""
    head = f"{found.file.label}:{found.line}: rule {found.rule.id!r} matches no node"
    if found.misses:
        nearest = [f"{printable(miss.node.name)!r} ({miss.matcher.refusal(miss.node, context)})" for miss in found.misses[:KEPT_NEAR_MISSES]]
        more = len(found.misses) - len(nearest)
        return f"{head}. Nearest: {', '.join(nearest)}{f' and {more} more' if more else ''}"
    alone = [matcher for matcher in found.rule.match if not any(matcher.matches(node, context) for node in context.nodes)]
    if not alone:
        return f"{head}: each condition holds somewhere, but never all for one node"
    return f"{head}. " + "; ".join(_unmet(matcher, context) for matcher in alone)


def _unmet(matcher: BaseMatcher, context: Context) -> str:
    suggestion = matcher.suggestion(context) if context.nodes else "the model has no nodes"
    return f"Nowhere holds: {matcher.describe()}" + (f" ({suggestion})" if suggestion else "")
