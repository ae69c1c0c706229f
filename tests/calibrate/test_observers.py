"""Every observer against a formula over all values at once, written without the product's code."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from bridge.calibrate.linear_bins import BINS
from bridge.calibrate.observation import Observation
from bridge.calibrate.observers import EXTENTS_SUFFICE, OBSERVERS, needs_values
from bridge.errors import UsageError
from bridge.observer_names import OBSERVER_NAMES, parse_observer
from bridge.types import TensorRange

SAMPLES = 12
RNG = np.random.default_rng(0)
NORMAL = RNG.standard_normal((SAMPLES, 4000)).astype(np.float32)
OUTLIER = NORMAL.copy()
OUTLIER[7, 3] = 1e6
KINDS = {
    "normal": NORMAL,
    "relu": np.maximum(NORMAL, 0.0),
    "negative": -np.abs(NORMAL) - 1.0,
    "far from zero": NORMAL + 50.0,
    "skewed": np.exp(NORMAL * 1.5) - 0.5,
    "tiny": NORMAL * np.float32(1e-30),
    "large": NORMAL * np.float32(1e30),
    "outlier": OUTLIER,
    "heavy tail": RNG.standard_t(2.0, (SAMPLES, 4000)).astype(np.float32),
}
each_kind = pytest.mark.parametrize("values", KINDS.values(), ids=KINDS)
each_observer = pytest.mark.parametrize("observer", OBSERVER_NAMES)


def seen(observer: str, values: Sequence[np.ndarray], *, bits: int = 8, workers: int = 1) -> TensorRange:
    """The range of one tensor; sample i goes to worker i modulo their number, in reverse order."""
    found = [Observation([observer], [bits]) for _ in range(workers)]
    for position in range(len(values))[:: 1 if workers == 1 else -1]:
        found[position % workers].observe(position, [values[position]])
    for other in found[1:]:
        found[0].merge(other)
    (extent,) = found[0].ranges()
    return extent


def test_the_table_has_the_known_names() -> None:
    assert tuple(OBSERVERS) == OBSERVER_NAMES
    assert {name for name in OBSERVERS if not needs_values(name)} == EXTENTS_SUFFICE


def test_percentiles_are_named_behind_a_colon() -> None:
    assert parse_observer("percentile") == ("percentile", 99.99)
    assert parse_observer("percentile:99.5") == ("percentile", 99.5)


@pytest.mark.parametrize("name", ["minmax", "", "percentile:", "percentile:10", "percentile:101", "percentile:9e1", "mse:3", "percentile:99.9\n"])
def test_an_unknown_observer_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(UsageError, match="There is no observer") as caught:
        parse_observer(name)
    assert "min_max, moving_average, percentile, entropy, mse" in caught.value.hint


@pytest.mark.parametrize("values", [KINDS[kind] for kind in ("relu", "outlier", "heavy tail")], ids=["relu", "outlier", "heavy tail"])
@each_observer
@pytest.mark.parametrize("bits", [8, 16])
def test_workers_and_order_make_no_difference(observer: str, values: np.ndarray, bits: int) -> None:
    alone = seen(observer, list(values), bits=bits)
    assert all(seen(observer, list(values), bits=bits, workers=workers) == alone for workers in (2, 5))


@each_kind
@each_observer
def test_a_range_stays_inside_the_extents(observer: str, values: np.ndarray) -> None:
    found = seen(observer, list(values))
    assert float(values.min()) <= found.minimum <= found.maximum <= float(values.max())


@each_observer
@pytest.mark.parametrize("value", [0.0, 3.5, -2.0, 1e-42, 3e38])
def test_a_constant_is_its_range(observer: str, value: float) -> None:
    values = np.full((3, 50), value, np.float32)
    assert seen(observer, list(values)) == TensorRange(float(values[0, 0]), float(values[0, 0]))


@each_observer
def test_without_a_finite_value_the_range_is_zero(observer: str) -> None:
    assert seen(observer, [np.full(4, np.nan, np.float32), np.zeros(0, np.float32)]) == TensorRange(0.0, 0.0)


@each_observer
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_left_out(observer: str, bad: float) -> None:
    spoilt = [np.insert(row, 17, np.float32(bad)) for row in NORMAL]
    assert seen(observer, spoilt) == seen(observer, list(NORMAL))


@each_observer
def test_a_large_tensor_is_seen_to_its_end(observer: str) -> None:
    values = np.tile(NORMAL.reshape(-1), 5)
    assert seen(observer, [values]) == seen(observer, [values[:100_000], values[100_000:]]) or observer == "moving_average"


def test_min_max_is_the_extent() -> None:
    assert seen("min_max", list(NORMAL)) == TensorRange(float(NORMAL.min()), float(NORMAL.max()))


@each_kind
def test_moving_average_is_the_mean_extent_without_a_rounding_error(values: np.ndarray) -> None:
    low, high = (math.fsum(part.tolist()) / SAMPLES for part in (values.min(axis=1), values.max(axis=1)))
    found = seen("moving_average", list(values))
    np.testing.assert_allclose([found.minimum, found.maximum], [low, high], rtol=1e-15)


def test_moving_average_is_exact_over_all_of_float32() -> None:
    limits = np.finfo(np.float32)
    values = [np.array([value], np.float32) for value in (limits.max, limits.smallest_subnormal, -limits.max, 1.0, -1.0, limits.smallest_subnormal)]
    assert seen("moving_average", values) == TensorRange(*[2 * float(limits.smallest_subnormal) / 6] * 2)


@each_kind
@pytest.mark.parametrize("percentile", [90.0, 99.0, 99.9])
def test_percentile_is_the_quantile_of_all_values(values: np.ndarray, percentile: float) -> None:
    cut = (100.0 - percentile) / 2.0
    low, high = np.percentile(values.astype(np.float64), [cut, 100.0 - cut])
    found = seen(f"percentile:{percentile}", list(values))
    # A bin is a 32nd of an octave; inside it values are taken as evenly spread.
    np.testing.assert_allclose([found.minimum, found.maximum], [low, high], rtol=1 / 32, atol=0.0)


def test_percentile_cuts_an_outlier_off() -> None:
    found = seen("percentile", list(OUTLIER))
    np.testing.assert_allclose([found.minimum, found.maximum], np.percentile(OUTLIER, [0.005, 99.995]), rtol=0.05)
    assert found.maximum < 5.0


def square_error(values: np.ndarray, found: TensorRange, bits: int) -> float:
    """Of rounding to the nearest multiple of the step between the ends, and of clipping."""
    low: float = min(found.minimum, 0.0)
    high: float = max(found.maximum, 0.0)
    step = (high - low) / 255 if bits == 8 else max(-low, high) / 32767
    exact = values.astype(np.float64)
    return float(((exact - np.round(np.clip(exact, low, high) / step) * step) ** 2).mean())


@each_kind
@pytest.mark.parametrize("bits", [8, 16])
def test_mse_is_as_good_as_the_best_range_on_a_grid(values: np.ndarray, bits: int) -> None:
    found = seen("mse", list(values), bits=bits)
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    shares = np.concatenate([np.linspace(0.05, 1.0, 20), np.geomspace(1e-3, 0.04, 6)])
    pairs = itertools.product(shares, shares) if bits == 8 and low < 0.0 < high else zip(shares, shares, strict=True)
    best = min(square_error(values, TensorRange(low * left, high * right), bits) for left, right in pairs)
    assert square_error(values, found, bits) <= 1.05 * best  # 5 % are 0.2 dB: bins are 3 % wide, and candidates 1 %


def divergence_by_loops(magnitudes: np.ndarray, levels: int) -> tuple[float, float]:
    """Threshold of least divergence, with the plain loops of the paper, and the width of a bin."""
    width = 2.0 ** (math.frexp(float(magnitudes.max()))[1] - 11)
    counts = np.bincount((magnitudes.astype(np.float64) / width).astype(int), minlength=BINS).astype(np.float64)
    counts = counts[: np.flatnonzero(counts)[-1] + 1]
    best, threshold = math.inf, math.nan
    for kept in range(levels, len(counts) + 1):
        reference = counts[:kept].copy()
        reference[-1] += counts[kept:].sum()
        candidate = np.zeros(kept)
        for level in range(levels):
            part = slice(level * kept // levels, (level + 1) * kept // levels)
            filled = counts[part] > 0.0
            candidate[part] = np.where(filled, counts[part].sum() / max(int(filled.sum()), 1), 0.0)
        divergence = float(stats.entropy(reference, candidate)) if candidate.any() else math.inf
        if divergence <= best + 1e-12:
            best, threshold = min(best, divergence), kept * width
    return threshold, width


@pytest.mark.parametrize("kind", ["normal", "relu", "skewed", "tiny", "heavy tail"])
def test_entropy_is_the_threshold_of_the_plain_loops(kind: str) -> None:
    values = KINDS[kind]
    threshold, width = divergence_by_loops(np.abs(values).reshape(-1), 256 if values.min() >= 0.0 else 128)
    found = seen("entropy", list(values))
    np.testing.assert_allclose(found.maximum, min(threshold, float(values.max())), atol=width / 100)
    np.testing.assert_allclose(found.minimum, max(-threshold, float(values.min())), atol=width / 100)


def test_entropy_clips_a_heavy_tail() -> None:
    values = KINDS["heavy tail"]
    found = seen("entropy", list(values))
    assert 3.0 < found.maximum < 0.8 * float(values.max())


def test_entropy_with_more_levels_than_bins_clips_nothing() -> None:
    values = KINDS["heavy tail"]
    assert seen("entropy", list(values), bits=16) == TensorRange(float(values.min()), float(values.max()))


def test_each_tensor_has_the_observer_it_was_given() -> None:
    observation = Observation(["percentile:90.0", "min_max", "mse", "percentile:90.0"], [8, 8, 8, 8])
    for position, row in enumerate(NORMAL):
        observation.observe(position, [row, row, row, -2.0 * row])
    expected = [seen("percentile:90.0", list(NORMAL)), seen("min_max", list(NORMAL)), seen("mse", list(NORMAL))]
    found = observation.ranges()
    assert found[:3] == expected
    np.testing.assert_allclose([found[3].minimum, found[3].maximum], [-2.0 * expected[0].maximum, -2.0 * expected[0].minimum], rtol=1e-12)
