"""What the package says it measured belongs to the table and to the LiteRT it was measured with."""

import importlib.metadata

import pytest

from bridge.quantize import OPS
from bridge.quantize.measured import measured_with, measurements, unit


def test_each_kernel_of_the_table_was_measured() -> None:
    kernels = {(row.name, precision) for row in OPS.values() for precision in row.kernels}
    assert set(measurements()) == kernels, "run: python tests/conformance/measure.py"
    assert all(row.cases > 0 for row in measurements().values())


def test_it_was_measured_with_the_litert_that_runs_here() -> None:
    if measured_with() != importlib.metadata.version("ai-edge-litert"):
        pytest.fail("another LiteRT: run python tests/conformance/measure.py")


@pytest.mark.parametrize(
    ("precision", "words"),
    [
        ("static_wi8_ai16", "steps of the output"),
        ("dynamic_wi8_afp32", "standard deviations of one rounding"),
        ("float16", "millionths of the largest value"),
    ],
)
def test_distances_have_a_unit(precision: str, words: str) -> None:
    assert unit(precision) == words
