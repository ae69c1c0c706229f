"""Values of the probes on disk: what comes back, and what does not count."""

import numpy as np

from bridge.convert import probe_values
from bridge.convert.probe_values import ProbeValues


def test_values_of_all_probes_come_back_stacked_in_the_order_of_the_first_run() -> None:
    values = {name: np.random.default_rng(0).standard_normal((2, 3, 4)).astype(dtype) for name, dtype in (("b", "float32"), ("a", "float64"))}
    flags = np.array([[True, False], [False, False]])
    runs = [{"b": values["b"][k].T, "flag": flags[k], "a": values["a"][k], "number": np.array(k), "empty": np.zeros((0, 2))} for k in (0, 1)]
    found = ProbeValues((run.items() for run in runs), 2)
    assert list(found) == ["b", "flag", "a", "number", "empty"]
    np.testing.assert_array_equal(found["b"], values["b"].transpose(0, 2, 1))
    np.testing.assert_array_equal(found["a"], values["a"])
    np.testing.assert_array_equal(found["flag"], flags)
    assert (found["number"].tolist(), found["empty"].shape) == ([0, 1], (2, 0, 2))


def test_a_tensor_whose_shape_depends_on_the_probe_is_left_out() -> None:
    runs = [{"x": np.zeros(size), "y": np.full(2, size)} for size in (3, 4)]
    found = ProbeValues((run.items() for run in runs), 2)
    assert ("x" in found, found["y"].tolist()) == (False, [[3, 3], [4, 4]])


def test_pages_that_were_given_back_can_be_looked_at_again() -> None:
    large = np.arange(probe_values.LOOKED_AT, dtype=np.uint8).reshape(1, -1)
    found = ProbeValues([[("x", large[0]), ("y", large[0, ::-1])]], 1)
    before = found["x"]
    assert found["y"][0, -1] == found["x"][0, 0] == 0  # each look gives back what was looked at before
    np.testing.assert_array_equal(before, large)
