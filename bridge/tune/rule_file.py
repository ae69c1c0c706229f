"""The set that was found, as a rule file that gives the reason for each of its rules."""

import re
from collections.abc import Mapping, Sequence

from bridge.report.rule_text import name_pattern
from bridge.rules.edit import edited
from bridge.rules.schema import Rule
from bridge.tune.result import Member

HEADER = "schema_version = 1\ndescription = {description}\n{reset}rules = []\n"
LONGEST_ID = 80


def rule_text(members: Sequence[Member], *, description: str, reset: bool) -> str:
    """The text of the file.

    Args:
        members: what is not int8.
        description: what the file is for.
        reset: whether the rules of files before it are taken back.
    """
    start = HEADER.format(description=_quoted(description), reset="reset = true\n" if reset else "")
    ids: dict[str, int] = {}
    return edited(start, put=[rule for member in members if (rule := _rule(member, ids)) is not None])


def rule_entries(members: Sequence[Member]) -> list[str]:
    """The text of each member's rule by itself, as the file has it; empty where no pattern can name its nodes."""
    start, ids = HEADER.format(description='"x"', reset=""), dict[str, int]()
    rules = [_rule(member, ids) for member in members]
    texts = ["" if rule is None else edited(start, put=[rule]) for rule in rules]
    return [text[text.find("[[rules]]") :].strip() if text else "" for text in texts]


def _rule(member: Member, ids: dict[str, int]) -> Rule | None:
    """One rule for a member; None where no pattern can name its nodes."""
    found = [pattern for node in member.nodes if (pattern := name_pattern(node)) is not None]
    conditions: list[Mapping[str, object]] = [{"kind": "name", kind: text} for kind, text in found]
    if not conditions:
        return None
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", member.name).strip("-")[:LONGEST_ID] or "node"
    ids[slug] = ids.get(slug, 0) + 1
    number = f"-{ids[slug]}" if ids[slug] > 1 else ""
    match = conditions if len(conditions) == 1 else [{"kind": "any", "conditions": conditions}]
    return Rule.model_validate({"id": slug + number, "reason": member.reason, "match": match, "precision": member.precision})


def _quoted(text: str) -> str:
    flat = " ".join(text.split())
    return '"' + flat.replace("\\", "\\\\").replace('"', '\\"') + '"'
