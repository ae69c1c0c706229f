"""Rule files: which nodes get which precision, and why. Rules see `NodeFacts` and nothing else of a model."""

from bridge.rules.apply import Applied, apply, decisions, waits_for_measurement
from bridge.rules.check import check
from bridge.rules.explain import Explanation, explain, render
from bridge.rules.files import Pack, RuleFile, list_packs, load
from bridge.rules.schema import PRECISIONS, json_schema

__all__ = [
    "PRECISIONS",
    "Applied",
    "Explanation",
    "Pack",
    "RuleFile",
    "apply",
    "check",
    "decisions",
    "explain",
    "json_schema",
    "list_packs",
    "load",
    "render",
    "waits_for_measurement",
]
