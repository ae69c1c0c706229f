"""What the report says about operators that force inputs of different size into one scale."""

from collections.abc import Sequence

from msgspec.structs import asdict

from bridge.findings import Diagnostic as Finding
from bridge.report.rule_text import float_rule
from bridge.report.schema import Diagnostic
from bridge.report.wording import decibel, significant, visible
from bridge.types import JoinedInput, MismatchedScales

CODE = "mismatched-scales"
AT_OUTPUT = "Float from there to the output costs no arithmetic; paste the rule into a rule file and give it with --rules."
INSIDE = "The rule leaves it float as far as the first operator that mixes its values; paste it into a rule file and give it with --rules."
COVERED = "The rule of {node!r} covers it: both lead to the same place."


def mismatch_findings(mismatches: Sequence[MismatchedScales]) -> tuple[Diagnostic, ...]:
    """One warning each; those that lead to the same place share the rule of the first."""
    findings = []
    first: dict[tuple[str, ...], str] = {}
    for found in mismatches:
        leader = first.setdefault(found.float_nodes, found.node)
        hint, rule = COVERED.format(node=leader), ""
        if leader == found.node:
            hint, rule = AT_OUTPUT if found.at_output else INSIDE, float_rule(f"{CODE}-{found.node.strip('/')}", _message(found), found.float_nodes)
        finding = Finding(CODE, "warning", _message(found), hint, found.node)
        findings.append(Diagnostic(**asdict(finding), rule=rule))
    return tuple(findings)


def _message(found: MismatchedScales) -> str:
    widest = max(found.inputs, key=_width)
    narrow = [one for one in found.inputs if one is not widest]
    lost = "; ".join(f"{_place(one)} keeps {decibel(one.sqnr_db)}, in a scale of its own {decibel(one.own_sqnr_db)}" for one in narrow)
    return f"All inputs get one scale, which {_place(widest)} needs: {lost}."


def _place(one: JoinedInput) -> str:
    return f"'{visible(one.tensor)}' ({significant(one.minimum)} .. {significant(one.maximum)})"


def _width(one: JoinedInput) -> float:
    return max(one.maximum, 0.0) - min(one.minimum, 0.0)
