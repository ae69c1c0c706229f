"""Why a node has the precision it has, and what it writes the range: who decided, who was overruled, and which condition kept the others out."""

from collections.abc import Sequence

from msgspec import Struct

from bridge.errors import RuleError
from bridge.module_paths import scope_fits
from bridge.name_patterns import MAX_GLOB_LENGTH, glob_fits
from bridge.rules.apply import decide, examine
from bridge.rules.context import Context
from bridge.rules.files import RuleFile
from bridge.rules.findings import Findings
from bridge.rules.matcher import glob_suggestion
from bridge.rules.matchers import node_names
from bridge.rules.replacing import decide_replacement
from bridge.rules.tensor_ranges import decide_ranges, ranges_seen
from bridge.rules.wording import printable
from bridge.types import Decision, NodeFacts, RangeDecision, ReplacementDecision


class Overridden(Struct, frozen=True):
    """A rule that matches the node and does not decide."""

    id: str
    file: str
    line: int
    action: str


class MissedRule(Struct, frozen=True):
    """A rule that would match the node but for one condition."""

    id: str
    file: str
    line: int
    condition: str


class Explanation(Struct, frozen=True):
    """All that the rules say about one node; `kernels` tells of its operators that have none in the precision, as far as somebody who knows added it."""

    node: str
    op_type: str
    patterns: tuple[str, ...]
    scope: str
    decision: Decision
    overridden: tuple[Overridden, ...]
    near_misses: tuple[MissedRule, ...]
    ranges: tuple[RangeDecision, ...] = ()
    replacement: ReplacementDecision | None = None
    kernels: tuple[str, ...] = ()


def explain(rule_files: Sequence[RuleFile], nodes: Sequence[NodeFacts], glob: str, *, default_precision: str) -> tuple[Explanation, ...]:
    """Explains every node that the glob selects. A rule that matches nothing is no error here.

    Args:
        rule_files: from `load`.
        nodes: in topological order.
        glob: fits a node name, a name that the node stands for, or its module path (then all inside the module).
        default_precision: for nodes that no rule matches.

    Raises:
        RuleError: the glob selects no node; names the closest.
    """
    if len(glob) > MAX_GLOB_LENGTH:
        raise RuleError(f"The glob has {len(glob)} characters, {MAX_GLOB_LENGTH} are allowed.")
    context = Context(nodes)
    selected = [node for node in nodes if _selects(glob, node)]
    if not selected:
        known = [name for node in nodes for name in (*node_names(node), node.scope)]
        raise RuleError(
            f"{glob!r} fits no node of the model: {glob_suggestion('node name', glob, known)}",
            hint="`bridge inspect MODEL` lists the nodes.",
            code="rule-matches-nothing",
        )
    findings = examine(rule_files, context)
    ranges = decide_ranges(nodes, findings)
    return tuple(_explanation(node, findings, ranges, context, default_precision) for node in selected)


def render(explanations: Sequence[Explanation]) -> str:
    """The explanations as plain text, a paragraph per node."""
    return "\n\n".join("\n".join(_paragraph(one)) for one in explanations)


def _selects(glob: str, node: NodeFacts) -> bool:
    return any(glob_fits(glob, name) for name in node_names(node)) or scope_fits(glob, node.scope)


def _explanation(
    node: NodeFacts, findings: Sequence[Findings], ranges: dict[str, RangeDecision], context: Context, default_precision: str
) -> Explanation:
    decision, replacement = decide(node, findings, default_precision), decide_replacement(node, findings)
    seen = ranges_seen(node, context.nodes, ranges)
    winners: set[tuple[str | None, str | None, int | None]] = {(decision.rule, decision.file, decision.line)}
    winners |= {(one.rule, one.file, one.line) for one in seen}
    if replacement is not None:
        winners.add((replacement.rule, replacement.file, replacement.line))
    overruled = [found for found in findings if node.name in found.matched and (found.rule.id, found.file.label, found.line) not in winners]
    return Explanation(
        node=node.name,
        op_type=node.op_type,
        patterns=node.patterns,
        scope=node.scope,
        decision=decision,
        ranges=seen,
        replacement=replacement,
        overridden=tuple(Overridden(found.rule.id, found.file.label, found.line, found.rule.action) for found in overruled),
        near_misses=tuple(
            MissedRule(found.rule.id, found.file.label, found.line, miss.matcher.refusal(node, context))
            for found in findings
            for miss in found.misses
            if miss.node.name == node.name
        ),
    )


def _paragraph(one: Explanation) -> list[str]:
    facts = [one.op_type, *(f"pattern {pattern}" for pattern in one.patterns), *([f"in {one.scope}"] if one.scope else [])]
    decision = one.decision
    by = f"rule {decision.rule!r} ({decision.file}:{decision.line}): {decision.reason}" if decision.rule is not None else decision.reason
    return [
        f"{printable(one.node)}  [{printable(', '.join(facts))}]",
        f"  {decision.precision}: {by}",
        *(f"  {note}" for note in one.kernels),
        *([f"  replaced by {swap.name}, which changes the model: rule {swap.rule!r} ({swap.file}:{swap.line})"] if (swap := one.replacement) else []),
        *(f"  range of {printable(seen.tensor)!r}: {seen.choice}: rule {seen.rule!r} ({seen.file}:{seen.line})" for seen in one.ranges),
        *(f"  overridden: rule {rule.id!r} ({rule.file}:{rule.line}), {rule.action}" for rule in one.overridden),
        *(f"  near miss: rule {rule.id!r} ({rule.file}:{rule.line}): {rule.condition}" for rule in one.near_misses),
    ]
