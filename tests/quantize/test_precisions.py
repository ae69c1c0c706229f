"""The table of precisions."""

import pytest

from bridge.errors import UsageError
from bridge.quantize.precisions import PRECISIONS, find_precision


@pytest.mark.parametrize("name", PRECISIONS)
def test_rows_are_found_by_name(name: str) -> None:
    assert find_precision(name).name == name


def test_only_integer_activations_need_ranges() -> None:
    assert {name for name, row in PRECISIONS.items() if row.needs_ranges} == {name for name, row in PRECISIONS.items() if row.activation != "FLOAT32"}


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UsageError, match="'int4'"):
        find_precision("int4")
