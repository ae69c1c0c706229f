import numpy as np
import pytest

from bridge.grid import grid_scale

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("scale", [1e-4, 0.0123, 3.7])
def test_one_scale_for_all_channels_is_found(scale: float) -> None:
    weight = (RNG.integers(-127, 128, (8, 3, 3, 4)).astype(np.float32) * np.float32(scale)).astype(np.float32)
    found = grid_scale(weight, 0)
    assert found is not None
    np.testing.assert_allclose(found, np.full(8, scale), rtol=1e-5)


def test_a_scale_per_channel_is_found() -> None:
    scales = np.array([0.01, 0.017, 0.3], np.float32)
    weight = RNG.integers(-127, 128, (64, 3)).astype(np.float32) * scales
    found = grid_scale(weight, 1)
    assert found is not None
    np.testing.assert_allclose(found, scales, rtol=1e-5)


def test_ordinary_weights_lie_on_no_grid() -> None:
    assert grid_scale(RNG.standard_normal((16, 16)).astype(np.float32), 0) is None


def test_a_channel_with_one_value_proves_nothing() -> None:
    assert grid_scale(np.array([[0.5, 0.0], [0.3, 0.3]], np.float32), 0) is None
