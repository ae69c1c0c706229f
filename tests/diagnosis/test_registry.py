"""No code without an entry in bridge/findings, no entry without a test that provokes it, no page that says anything else."""

import re
import typing
from pathlib import Path

import pytest
from provocations import provoking_tests, recorded
from troubleshooting_page import PAGE, page

from bridge import errors
from bridge.errors import BridgeError, InputError, RuleError, UnsupportedModelError
from bridge.findings import FAMILIES, KINDS, Diagnostic

ROOT = Path(__file__).parents[2]


def test_every_error_class_and_every_cause_has_an_entry() -> None:
    classes = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, BridgeError)]
    assert {kind.usual_code for kind in classes} | set(typing.get_args(errors.Cause.__value__)) <= set(KINDS)


def test_every_entry_has_a_test_that_provokes_it() -> None:
    assert set(KINDS) == set(provoking_tests())


def test_entries_are_complete_and_unique() -> None:
    kinds = [kind for family in FAMILIES.values() for kind in family]
    assert len(kinds) == len(KINDS)
    for kind in kinds:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", kind.code)
        assert kind.title.endswith(".")
        assert kind.cause.endswith(".")
        assert kind.cure.endswith((".", "`"))
        assert kind.example.partition(": ")[0] in kind.severities


def test_a_finding_without_an_entry_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="no entry for 'no-such-code'"):
        Diagnostic("no-such-code", "info", "m")
    with pytest.raises(ValueError, match="no entry for 'data-shape' as info"):
        Diagnostic("data-shape", "info", "m")


def test_errors_have_a_code_and_findings() -> None:
    plain = InputError("m", hint="h")
    assert (plain.code, plain.findings) == ("bad-input", (Diagnostic("bad-input", "error", "m", "h"),))
    assert UnsupportedModelError("m", causes=["string", "random"]).code == "string"
    assert [finding.message for finding in RuleError("a\nb").findings] == ["a", "b"]
    plain.advise("Or so.")
    assert (plain.hint, plain.findings[0].hint) == ("h Or so.", "h Or so.")
    assert plain.as_dict()["error"] == {"code": "bad-input", "exit_code": 2, "message": "m", "hint": "h Or so."}


def test_marks_are_held_to_what_happens() -> None:
    with recorded() as seen:
        Diagnostic("data-shape", "error", "m")
        InputError("m", code="data-dtype")
    assert seen == {"data-shape", "data-dtype"}


def test_the_page_is_that_of_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: uv run python tests/diagnosis/troubleshooting_page.py"


def test_the_tables_of_the_page_have_a_test_that_exists_and_an_example_for_every_code() -> None:
    rows = re.findall(r"^\| \[`([a-z0-9-]+)`\]\(#\1\) \| .+ \| `(?:error|warning|info): .+` \| \[`(\w+)`\]\(\.\./(.+)\) \|$", page(), re.MULTILINE)
    assert {code for code, _, _ in rows} == set(KINDS)
    for _, test, path in rows:
        assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8")
