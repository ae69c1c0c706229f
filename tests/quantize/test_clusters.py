import numpy as np
import pytest

from bridge.quantize.clusters import common_scale, is_clustered

RNG = np.random.default_rng(3)
VALUES = np.array([-1.27, -0.31, 0.005, 0.64], np.float32)


def test_the_scale_puts_the_largest_value_on_an_integer_and_the_others_near_theirs() -> None:
    weight = np.repeat(np.array([0.75, -0.5, 0.25], np.float32), 8)
    assert common_scale(weight, "INT8") == pytest.approx(0.75 / 126)  # 126, -84 and 42 exactly; 127 would put the others between two


def test_of_all_steps_from_half_to_full_range_it_has_the_smallest_error() -> None:
    weight = np.repeat(VALUES, (5, 50, 500, 5))
    scale = common_scale(weight, "INT8")
    assert scale is not None

    def error(step: float) -> float:
        return float(np.square(weight - np.clip(np.round(weight / step), -127, 127) * step).sum())

    assert error(scale) <= min(error(1.27 / steps) for steps in range(64, 128)) * (1 + 1e-5)


def test_values_that_hardly_repeat_are_not_clustered() -> None:
    assert not is_clustered(RNG.standard_normal((8, 9)).astype(np.float32))
    assert not is_clustered(np.repeat(VALUES, 3))
    assert is_clustered(np.repeat(VALUES, 4))


def test_zeros_of_a_pruned_tensor_do_not_make_it_clustered() -> None:
    weight = RNG.standard_normal(1000).astype(np.float32)
    weight[:900] = 0
    assert not is_clustered(weight)
    assert not is_clustered(np.zeros(1000, np.float32))


@pytest.mark.parametrize(("values", "clustered"), [(14, True), (15, False)])
def test_a_type_with_fewer_steps_than_the_tensor_has_values_has_none_to_keep(values: int, clustered: bool) -> None:
    assert is_clustered(np.repeat(np.arange(1, values + 1, dtype=np.float32), 8), 7) is clustered


def test_one_value_far_behind_the_first_ones_counts() -> None:
    weight = np.repeat(VALUES, 4000)
    weight[9000:] = RNG.standard_normal(7000)
    assert not is_clustered(weight)
