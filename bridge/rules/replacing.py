"""Which activation functions rules replace, and whether the replacement is defined for them."""

from collections.abc import Sequence

from bridge.errors import RuleError
from bridge.replacements import FUNCTION_OF_OPERATOR, NONE, REPLACEMENTS
from bridge.rules.findings import Findings
from bridge.rules.wording import listed
from bridge.types import Diagnostic, NodeFacts, ReplacementDecision

NAMED = 4  # nodes in one message


def decide_replacement(node: NodeFacts, findings: Sequence[Findings]) -> ReplacementDecision | None:
    """The last rule that replaces and is not taken back decides; None without one, and where that one says `none`."""
    matching = [found for found in findings if node.name in found.matched and found.rule.replace is not None and found.taken_back_by is None]
    standing = [found for found in matching if found.rule.replace == NONE or is_defined(found.rule.replace or NONE, node)]
    if not standing or standing[-1].rule.replace == NONE:
        return None
    winner = standing[-1]
    overridden = tuple(found.rule.id for found in standing[:-1])
    return ReplacementDecision(node.name, winner.rule.replace or NONE, winner.rule.id, winner.file.label, winner.line, overridden)


def is_defined(replacement: str, node: NodeFacts) -> bool:
    """Whether the node is, or is a part of, a function that the replacement may stand for."""
    return bool(functions(node) & REPLACEMENTS[replacement].of.keys())


def functions(node: NodeFacts) -> frozenset[str]:
    """The functions that a node is or belongs to."""
    own = FUNCTION_OF_OPERATOR.get(node.op_type) if node.domain == "" else None
    return frozenset(node.patterns if own is None else (own, *node.patterns))


def undefined(findings: Sequence[Findings], nodes: Sequence[NodeFacts]) -> tuple[Diagnostic, ...]:
    """Nodes of optional rules that their replacement is not defined for.

    Raises:
        RuleError: there are such nodes of rules that are not optional, all of them in one message.
    """
    wrong: list[str] = []
    listed_only: list[Diagnostic] = []
    for found in findings:
        name = found.rule.replace
        if name is None or name == NONE or found.taken_back_by is not None:
            continue
        others = [node for node in nodes if node.name in found.matched and not is_defined(name, node)]
        if others:
            named = listed((f"{node.name} ({node.op_type})" for node in others), limit=NAMED)
            text = (
                f"{found.file.label}:{found.line}: rule {found.rule.id!r}: {name} replaces {' and '.join(sorted(REPLACEMENTS[name].of))}, not {named}"
            )
            if found.rule.optional:
                listed_only.append(Diagnostic("replacement-not-defined", "info", f"{text}; these nodes stay as they are."))
            else:
                wrong.append(text)
    if wrong:
        raise RuleError(
            "\n".join(wrong), hint="Narrow the match by a condition of kind 'pattern' or 'op_type', or write optional = true.", code="rule-impossible"
        )
    return tuple(listed_only)
