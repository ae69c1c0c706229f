"""The table of precisions."""

import pytest

from bridge.errors import UsageError
from bridge.quantize.precisions import PRECISIONS, find_precision, finest


@pytest.mark.parametrize("name", PRECISIONS)
def test_rows_are_found_by_name(name: str) -> None:
    assert find_precision(name).name == name


def test_only_integer_activations_need_ranges() -> None:
    assert {name for name, row in PRECISIONS.items() if row.needs_ranges} == {name for name, row in PRECISIONS.items() if row.activation != "FLOAT32"}


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UsageError, match="'int4'"):
        find_precision("int4")


def test_the_finest_of_some_has_the_smallest_rounding_error() -> None:
    assert finest(["static_wi8_ai8", "static_wi8_ai16"]) == "static_wi8_ai16"
    assert finest(["dynamic_wi8_afp32", "weight_only_wi4_afp32"]) == "dynamic_wi8_afp32"
    assert finest(PRECISIONS) == "float32"


def test_nothing_coarser_stands_in_for_a_precision() -> None:
    assert all(finest([row.name, *row.instead]) != row.name or not row.instead for row in PRECISIONS.values())
