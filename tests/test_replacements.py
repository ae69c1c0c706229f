"""Each replacement, evaluated here with NumPy, against the exact function."""

import re
from collections.abc import Callable, Mapping
from math import erf
from pathlib import Path

import numpy as np
import pytest

from bridge.replacements import FUNCTION_OF_OPERATOR, NAMES, NONE, REPLACEMENTS, Replacement
from bridge.rules import load

PAGE = Path(__file__).parents[1] / "docs" / "replacements.md"
Array = np.ndarray
X = np.linspace(-12.0, 12.0, 24_001)
ERF = np.vectorize(erf)
EXACT: Mapping[str, Callable[[Array], Array]] = {
    "erf": ERF,
    "gelu": lambda x: np.asarray(0.5 * x * (1.0 + ERF(x / np.sqrt(2.0)))),
    "mish": lambda x: np.asarray(x * np.tanh(np.logaddexp(0.0, x))),
    "sigmoid": lambda x: np.asarray(1.0 / (1.0 + np.exp(-x))),
    "silu": lambda x: np.asarray(x / (1.0 + np.exp(-x))),
}
OPS: Mapping[str, Callable[..., Array]] = {
    "Add": np.add,
    "Clip": np.clip,
    "HardSwish": lambda x: np.asarray(x * np.clip(x / 6.0 + 0.5, 0.0, 1.0)),
    "Max": np.maximum,
    "Min": np.minimum,
    "Mul": np.multiply,
    "Sigmoid": EXACT["sigmoid"],
    "Tanh": np.tanh,
}
# Largest difference over all x, as the summaries of the table and docs/replacements.md tell.
WORST = {
    ("erf_polynomial", "erf"): 1.016e-3,
    ("gelu_polynomial", "gelu"): 1.656e-3,
    ("gelu_sigmoid", "gelu"): 0.0204,
    ("gelu_tanh", "gelu"): 4.74e-4,
    ("hard_sigmoid", "sigmoid"): 0.0692,
    ("hard_swish", "gelu"): 0.0688,
    ("hard_swish", "mish"): 0.2001,
    ("hard_swish", "silu"): 0.1423,
}


def numpy_op(op_type: str, *operands: Array | float, **attributes: str) -> Array:
    if op_type == "Gelu":
        x = operands[0]
        assert attributes == {"approximate": "tanh"}
        return np.asarray(0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3))))
    return np.asarray(OPS[op_type](*operands))


@pytest.mark.parametrize("row", REPLACEMENTS.values(), ids=lambda row: row.name)
@pytest.mark.parametrize("slope", [1.0, 0.7])
def test_what_is_converted_is_what_it_is_proved_against(row: Replacement, slope: float) -> None:
    for default in row.of.values():
        built, proved = row.build(numpy_op, X, default * slope), row.formula(numpy_op, X, default * slope)
        np.testing.assert_allclose(built, proved, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("name", "function"), WORST, ids=lambda word: word)
def test_the_difference_to_the_exact_function_is_as_told(name: str, function: str) -> None:
    row = REPLACEMENTS[name]
    worst = float(np.abs(row.build(numpy_op, X, row.of[function]) - EXACT[function](X)).max())
    assert worst == pytest.approx(WORST[name, function], rel=0.02)


def test_every_pair_of_the_table_has_its_difference_told() -> None:
    assert {(row.name, function) for row in REPLACEMENTS.values() for function in row.of} == set(WORST)


def test_the_page_about_replacements_tells_the_same_differences() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| .* \| ([\d.e-]+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    told = {(name, function): float(worst) for name, function, worst in rows}
    assert told.keys() == WORST.keys()
    assert all(WORST[pair] <= worst <= 1.09 * WORST[pair] for pair, worst in told.items())  # rounded up


def test_the_example_of_the_page_can_be_loaded(tmp_path: Path) -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "example.toml").write_text(f"schema_version = 1\n{block}", encoding="utf-8")
    (file,) = load([tmp_path / "example.toml"])
    assert [rule.id for rule in file.rules] == ["cheap-swish", "mask"]


def test_rules_know_all_replacements_and_the_one_that_takes_them_back() -> None:
    assert sorted(NAMES) == sorted([NONE, *REPLACEMENTS])
    assert set(FUNCTION_OF_OPERATOR.values()) == {function for row in REPLACEMENTS.values() for function in row.of}
