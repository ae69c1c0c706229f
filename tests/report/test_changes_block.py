from bridge.report.changes import changes_block
from bridge.types import Change, ChangeEffect, ChangeEffects

SWISH = Change("replace", "act", "act_out", "silu", "hard_swish", True, "r", "f.toml", 3)
CLIP = Change("clip", "sum", "sum_out", "", "-6 .. 6", False, "c", "f.toml", 9)


def test_the_change_that_moves_an_output_most_comes_first() -> None:
    effects = ChangeEffects(
        (ChangeEffect(SWISH, 30.0, {"a": 40.0, "b": 21.0}), ChangeEffect(CLIP, 12.0, {"a": 20.0, "b": 50.0})), {"a": 19.0, "b": 20.5}, 8
    )
    block = changes_block((SWISH, CLIP), effects)
    assert [(row.node, row.sqnr_db, row.worst_db) for row in block.worst_first] == [("sum", 12.0, 20.0), ("act", 30.0, 21.0)]
    assert [(output.name, output.sqnr_db) for output in block.together] == [("a", 19.0), ("b", 20.5)]
    assert block.samples == 8


def test_a_change_is_told_in_a_few_words() -> None:
    assert [row.what for row in changes_block((SWISH, CLIP), None).changes] == ["silu by hard_swish", "clip -6 .. 6 (by its integer range)"]


def test_without_a_comparison_there_are_no_figures() -> None:
    block = changes_block((SWISH,), None)
    assert (block.changes[0].sqnr_db, block.changes[0].worst_db, block.together, block.samples) == (None, None, (), 0)
