import tomllib

import pytest

from bridge.report.mismatches import mismatch_findings
from bridge.types import JoinedInput, MismatchedScales

BOXES, SCORES = JoinedInput("boxes", 0.0, 640.0, 45.0, 45.0), JoinedInput("scores", 0.001, 0.999, 2.25, 40.5)


@pytest.mark.provokes("mismatched-scales")
def test_a_finding_names_the_inputs_their_ranges_and_what_they_keep() -> None:
    (found,) = mismatch_findings([MismatchedScales("/head/concat", "CONCATENATION", (BOXES, SCORES), ("/head/concat",), at_output=True)])
    assert (found.code, found.severity, found.node) == ("mismatched-scales", "warning", "/head/concat")
    assert found.message == (
        "All inputs get one scale, which 'boxes' (0 .. 640) needs: 'scores' (0.001 .. 0.999) keeps 2.2 dB, in a scale of its own 40.5 dB."
    )
    assert "costs no arithmetic" in found.hint
    (rule,) = tomllib.loads(found.rule)["rules"]
    assert rule["id"] == "mismatched-scales-head-concat"
    assert rule["reason"] == found.message


def test_findings_that_lead_to_the_same_place_share_one_rule() -> None:
    nodes = ("first", "second", "conv")
    found = mismatch_findings([MismatchedScales(name, "CONCATENATION", (BOXES, SCORES), nodes, at_output=False) for name in nodes[:2]])
    assert "as far as the first operator that mixes" in found[0].hint
    assert (found[1].rule, found[1].hint) == ("", "The rule of 'first' covers it: both lead to the same place.")


def test_a_name_with_signs_that_turn_the_text_shows_them() -> None:
    hostile = JoinedInput("\u202eevil", 0.0, 1.0, 0.0, 40.0)
    (found,) = mismatch_findings([MismatchedScales("cat", "CONCATENATION", (BOXES, hostile), ("cat",), at_output=True)])
    assert "\u202e" not in found.message + found.rule
