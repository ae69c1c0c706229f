"""Which tensors a rule about ranges speaks of: those that its nodes write, or those that it names, model inputs too."""

from collections.abc import Iterator, Sequence

from bridge.errors import RuleError
from bridge.name_patterns import glob_fits
from bridge.rules.findings import Findings
from bridge.rules.places import TensorMatcher
from bridge.rules.schema import Rule
from bridge.rules.wording import listed
from bridge.types import Diagnostic, NodeFacts, RangeDecision, TensorSpec

NAMED = 4  # tensors in one message
FLOATS = frozenset({"float16", "float32", "float64"})


def decide_ranges(nodes: Sequence[NodeFacts], findings: Sequence[Findings]) -> dict[str, RangeDecision]:
    """Tensor -> what the last rule about its range says, those taken back left out; only float tensors have ranges."""
    decided: dict[str, RangeDecision] = {}
    for found in findings:
        choice = found.rule.choice
        if choice is None or found.taken_back_by is not None:
            continue
        for node in (node for node in nodes if node.name in found.matched):
            for spec in targets(found.rule, node):
                before = decided.get(spec.name)
                if spec.dtype not in FLOATS or (before is not None and _by(before, found)):
                    continue
                overridden = (*before.overridden, before.rule) if before is not None else ()
                decided[spec.name] = RangeDecision(spec.name, node.name, choice, found.rule.id, found.file.label, found.line, overridden)
    return decided


def targets(rule: Rule, node: NodeFacts) -> Iterator[TensorSpec]:
    """What a matching node writes; where the rule asks for tensors by name, what it writes or reads of that name."""
    globs = [matcher.glob for matcher in rule.match if isinstance(matcher, TensorMatcher)]
    if not globs:
        yield from node.outputs
        return
    read = (spec for position, spec in enumerate(node.inputs) if position not in node.constant_inputs)
    for spec in (*node.outputs, *read):
        if all(glob_fits(glob, spec.name) for glob in globs):
            yield spec


def ranges_seen(node: NodeFacts, nodes: Sequence[NodeFacts], decided: dict[str, RangeDecision]) -> tuple[RangeDecision, ...]:
    """What is decided of the tensors that a node writes, and of the model inputs that it reads."""
    written = {spec.name for other in nodes for spec in other.outputs}
    own = (*(spec.name for spec in node.inputs if spec.name not in written), *(spec.name for spec in node.outputs))
    return tuple(decided[name] for name in dict.fromkeys(own) if name in decided)


def refuse_integers(findings: Sequence[Findings], nodes: Sequence[NodeFacts]) -> tuple[Diagnostic, ...]:
    """Nodes of optional rules about ranges that have nothing but integers.

    Raises:
        RuleError: rules about ranges all of whose tensors are integers, unless they are optional.
    """
    wrong: list[str] = []
    listed_only: list[Diagnostic] = []
    for found in findings:
        if found.rule.choice is None or found.taken_back_by is not None:
            continue
        specs = [spec for node in nodes if node.name in found.matched for spec in targets(found.rule, node)]
        if specs and not any(spec.dtype in FLOATS for spec in specs):
            named = listed(dict.fromkeys(f"{spec.name}: {spec.dtype}" for spec in specs), limit=NAMED)
            text = f"{found.file.label}:{found.line}: rule {found.rule.id!r}: {found.rule.choice}, but only float tensors have a range. Received: {named}"
            if found.rule.optional:
                listed_only.append(Diagnostic("range-of-integers", "info", text))
            else:
                wrong.append(text)
    if wrong:
        raise RuleError("\n".join(wrong), hint="Take range, clip and observer out of the rule, or name float tensors.", code="rule-impossible")
    return tuple(listed_only)


def _by(decision: RangeDecision, found: Findings) -> bool:
    return (decision.rule, decision.file, decision.line) == (found.rule.id, found.file.label, found.line)
