"""Effects of changes, against the numbers worked out by hand."""

from math import inf, log10

import numpy as np
import onnx.parser
import pytest

from bridge.compare import OnnxRunner
from bridge.compare.change_effects import measure_effects
from bridge.types import Change

# before = 2 x; the first change adds 1 to it, the second, further on, adds 1 to its double.
NET = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[4] x, bool first, bool second) => (float[4] y)
<float one = {1.0}, float two = {2.0}>
{
    before1 = Mul(x, two) after1 = Add(before1, one) a = Where(first, after1, before1)
    before2 = Mul(a, two) after2 = Add(before2, one) y = Where(second, after2, before2)
}
"""
CHANGES = tuple(Change("replace", name, name, "silu", "hard_swish", True, "r", "f.toml", 3) for name in ("a", "y"))
SWITCHES = (("first", "before1", "after1"), ("second", "before2", "after2"))
X = np.array([1.0, -2.0, 3.0, 4.0], np.float32)


class Samples:
    labels = None

    def __len__(self) -> int:
        return 3

    def __getitem__(self, position: int) -> dict[str, np.ndarray]:
        return {"x": X * (position + 1)}


def db(signal: float, noise: float) -> float:
    return 10.0 * log10(signal / noise)


def test_each_change_is_measured_there_and_alone_at_the_outputs() -> None:
    runner = OnnxRunner(onnx.parser.parse_model(NET))
    effects = measure_effects(runner, CHANGES, SWITCHES, Samples(), count=3, threads=1)
    energy = float((X**2).sum()) * (1 + 4 + 9)
    first, second = effects.each
    assert first.sqnr_db == pytest.approx(db(4 * energy, 3 * 4))
    assert second.sqnr_db == pytest.approx(db(16 * energy, 3 * 4))  # with the inputs that the unchanged model gives it
    assert first.outputs == pytest.approx({"y": db(16 * energy, 3 * 4 * 4)})
    assert second.outputs == pytest.approx({"y": db(16 * energy, 3 * 4)})
    assert effects.together == pytest.approx({"y": db(16 * energy, 3 * 4 * 9)})
    assert effects.samples == 3


def test_a_change_of_a_model_input_is_measured_against_the_sample() -> None:
    text = NET.replace(
        "before1 = Mul(x, two) after1 = Add(before1, one) a = Where(first, after1, before1)", "after1 = Add(x, one) a = Where(first, after1, x)"
    )
    switches = (("first", "x", "after1"), SWITCHES[1])
    effects = measure_effects(OnnxRunner(onnx.parser.parse_model(text)), CHANGES, switches, Samples(), count=1, threads=1)
    assert effects.each[0].sqnr_db == pytest.approx(db(float((X**2).sum()), 4))


def test_a_change_that_changes_nothing_has_no_error() -> None:
    text = NET.replace("float one = {1.0}", "float one = {0.0}")
    effects = measure_effects(OnnxRunner(onnx.parser.parse_model(text)), CHANGES, SWITCHES, Samples(), count=2, threads=1)
    assert [(one.sqnr_db, dict(one.outputs)) for one in effects.each] == [(inf, {"y": inf})] * 2
