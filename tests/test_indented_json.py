"""Like json.dumps, text by text."""

import json
from dataclasses import dataclass
from types import MappingProxyType

import pytest

from bridge.indented_json import indented


@dataclass(frozen=True, slots=True)
class Pair:
    name: str
    shape: tuple[int, ...]


VALUES = [
    {},
    [],
    None,
    True,
    'ä"\\\n\u202e\U0001f600',
    {"ä": [1, 2.5, 1e-7, 1e300, -0.0, 10**20], "empty": {}, "nothing": [], "b": [{"c": [[], [None, False]]}]},
    [float("inf"), -float("inf"), float("nan")],
]


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_same_text_as_the_standard_library(value: object, ascii_only: bool) -> None:
    assert indented(value, ascii_only=ascii_only) == json.dumps(value, indent=1, ensure_ascii=ascii_only)


def test_dataclasses_and_mappings_are_objects() -> None:
    plain = {"pairs": [{"name": "a", "shape": [1, 2]}], "owners": {"b": ["c"]}}
    assert indented({"pairs": (Pair("a", (1, 2)),), "owners": MappingProxyType({"b": ("c",)})}) == json.dumps(plain, indent=1)


def test_what_json_has_not_is_refused() -> None:
    with pytest.raises(TypeError):
        indented({"a": object()})
