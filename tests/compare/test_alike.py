import copy

import numpy as np

from bridge.compare.alike import SMALL, Alike
from bridge.compare.forms import Form
from bridge.compare.metrics import ErrorSums, SumsOfMany
from bridge.compare.rows import Row
from bridge.indented_json import plain
from bridge.types import TensorPair

SHAPES = [(1, 2, 3, 4), (1, 2, 3, 4), (1, 3, 2, 4), (1, 2, 3, 4), (1, SMALL, 1, 2), (1, 2, 3, 4), (1, 2, 3, 4)]


def test_tensors_taken_in_together_have_the_figures_of_each_alone() -> None:
    """Figures of reports may not depend on how many tensors have one shape."""
    rng = np.random.default_rng(0)
    rows, reference = [], {}
    real, stored, alone = ({} for _ in range(3))
    for place, shape in enumerate(SHAPES):
        form = Form(0.02, place - 3) if place < 5 else None
        pair = TensorPair(f"n{place}", f"t{place}", "mapped", permutation=(0, 3, 1, 2))
        rows.append(Row(pair, place, place, f"n{place}", form, own=place != 1, reason=""))
        real[place] = rng.standard_normal(shape).astype(np.float32) * 2
        reference[f"t{place}"] = real[place].transpose(0, 3, 1, 2) + np.float32(1e-3)
        stored[place], alone[place] = (
            value if form is None else form.stored(value, np.dtype(np.int8)) for value in (real[place] * 1.01, real[place])
        )
    reference["t5"] = np.full_like(reference["t5"], np.nan)
    each = copy.deepcopy(rows)
    together = Alike(rows)
    for name in ("first", "second", "third"):
        together.add(name, reference, real, stored, alone)
        for row in each:
            row.add(name, reference[row.pair.tensor], real, stored, alone)
        if name == "second":  # another shape in the third sample
            reference["t0"], real[0], stored[0], alone[0] = (
                np.concatenate([values, values], axis=-2) for values in (reference["t0"], real[0], stored[0], alone[0])
            )
    together.settle()
    for row, one in zip(rows, each, strict=True):
        np.testing.assert_equal(plain(row), plain(one))
    assert rows[0].clipped
    assert (rows[0].usage.samples, rows[1].own_sums.count) == (3, 0)


def test_sums_of_many_follow_their_formulas() -> None:
    r = np.random.default_rng(1).standard_normal((3, 50)).astype(np.float32)
    c = r + np.float32(0.1)
    sums = SumsOfMany([ErrorSums() for _ in r])
    sums.add(r, c)
    for one, x, y in zip(sums.of_each(), r.astype(np.float64), c.astype(np.float64), strict=True):
        expected = [50, (x**2).sum(), ((x - y) ** 2).sum(), (y**2).sum(), (x * y).sum(), np.abs(x - y).sum(), np.abs(x - y).max()]
        np.testing.assert_allclose(list(plain(one).values()), expected, rtol=1e-5)
