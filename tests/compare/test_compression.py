"""What is counted in weights, and what is not worth counting."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from bridge.compare.compression import LARGE_FILE, LARGE_WEIGHT, LEVEL, distinct_floats, distinct_integers, gzip_bytes

RNG = np.random.default_rng(3)


def test_a_large_weight_without_clusters_is_not_counted() -> None:
    plain = RNG.standard_normal(LARGE_WEIGHT, np.float32)
    assert distinct_floats(plain.reshape(512, -1)) is None
    assert distinct_floats(plain[:-1]) == len(set(plain[:-1].tolist()))


def test_a_large_clustered_weight_is_counted_with_its_rarest_value() -> None:
    clustered = RNG.choice(np.linspace(-1, 1, 16, dtype=np.float32), LARGE_WEIGHT)
    clustered[1] = 7.0  # where the glance does not look
    assert distinct_floats(clustered.reshape(256, -1)) == 17


def test_integers_are_counted_by_their_codes() -> None:
    integers = RNG.choice(np.array([-127, -1, 0, 5, 127], np.int8), 200_000)
    integers[-1] = -128
    assert distinct_integers(integers.reshape(2, -1)) == 6
    assert distinct_integers(np.arange(-128, 128).astype(np.int8)) == 256
    symmetric = np.tile(np.arange(-127, 128).astype(np.int8), 2000)
    assert distinct_integers(symmetric) == 255
    symmetric[-1] = -128
    assert distinct_integers(symmetric) == 256


@pytest.mark.parametrize("weights", ["plain", "clustered"])
def test_a_large_file_counts_what_the_gzip_command_leaves_of_it(tmp_path: Path, weights: str) -> None:
    count = LARGE_FILE // 4 + 1000
    values = RNG.standard_normal(count, np.float32) if weights == "plain" else RNG.choice(np.linspace(-1, 1, 16, dtype=np.float32), count)
    path = tmp_path / "file"
    path.write_bytes(values.tobytes())
    assert gzip_bytes(path) == pytest.approx(len(gzip.compress(values.tobytes(), LEVEL)), rel=0.01)
