import math

import numpy as np
import pytest

from bridge.agreement import agreement_db
from bridge.convert.tensor_map import ValueIndex, is_degenerate, permutations

RNG = np.random.default_rng(0)
IMAGE = RNG.standard_normal((2, 1, 5, 4, 3)).astype(np.float32)  # [P, N, H, W, C]
CHANNELS_FIRST = IMAGE.transpose(0, 1, 4, 2, 3)


def index(**tensors: np.ndarray) -> ValueIndex:
    return ValueIndex(dict(enumerate(tensors)), dict(enumerate(tensors.values())))


def test_a_name_counts_only_when_the_values_agree() -> None:
    tensors = index(x=IMAGE + 1.0, y=IMAGE)
    found = tensors.find("x", CHANNELS_FIRST)
    assert found is not None
    assert (found.tflite_tensor, found.evidence) == (1, "values")


def test_a_name_wins_over_an_earlier_equal_tensor() -> None:
    found = index(first=IMAGE, second=IMAGE).find("second", IMAGE)
    assert found is not None
    assert (found.tflite_tensor, found.evidence) == (1, "name")


@pytest.mark.parametrize(("moves", "tensor"), [(False, 0), (True, 1)])
def test_what_computes_is_meant_and_not_the_copy_that_bears_its_name(moves: bool, tensor: int) -> None:
    values = {0: IMAGE, 1: np.ascontiguousarray(CHANNELS_FIRST)}
    found = ValueIndex({0: "nhwc", 1: "conv"}, values, moved={1}).find("conv", CHANNELS_FIRST, moves=moves)
    assert found is not None
    assert found.tflite_tensor == tensor


def test_a_copy_counts_when_nothing_before_it_has_the_values() -> None:
    found = ValueIndex({0: "x", 1: "conv"}, {0: IMAGE + 1.0, 1: IMAGE}, moved={1}).find("conv", IMAGE)
    assert found is not None
    assert found.tflite_tensor == 1


def test_the_permutation_gives_the_onnx_value() -> None:
    found = index(x=IMAGE).find("x", CHANNELS_FIRST)
    assert found is not None
    moved = IMAGE[0].transpose(found.permutation).reshape(CHANNELS_FIRST.shape[1:])
    np.testing.assert_array_equal(moved, CHANNELS_FIRST[0])


def test_a_flattened_and_transposed_counterpart_is_found() -> None:
    flat = IMAGE.reshape(2, 20, 3)  # [P, H*W, C]
    found = index(flat=flat).find(None, CHANNELS_FIRST)
    assert found is not None
    np.testing.assert_array_equal(flat[1].transpose(found.permutation).reshape(CHANNELS_FIRST.shape[1:]), CHANNELS_FIRST[1])


def test_the_same_elements_in_another_order_are_no_pair() -> None:
    shuffled = RNG.permuted(IMAGE.reshape(2, -1), axis=1).reshape(IMAGE.shape)
    assert index(x=shuffled).find("x", IMAGE) is None


def test_agreement_on_one_probe_only_is_no_pair() -> None:
    half = IMAGE.copy()
    half[1] = RNG.standard_normal(IMAGE.shape[1:])
    assert index(x=half).find("x", IMAGE) is None


@pytest.mark.parametrize(("noise_db", "paired"), [(70.0, True), (50.0, False)])
def test_noise_above_the_proof_level_is_no_pair(noise_db: float, paired: bool) -> None:
    noise = RNG.standard_normal(IMAGE.shape) * 10 ** (-noise_db / 20)
    assert (index(x=(IMAGE + noise).astype(np.float32)).find("x", IMAGE) is not None) == paired


def test_a_constant_tensor_is_paired_by_name_but_never_searched() -> None:
    zeros = np.zeros_like(IMAGE)
    assert index(x=zeros).find("x", zeros) is not None
    assert index(x=zeros).find("y", zeros) is None
    assert is_degenerate(zeros)


def test_integers_must_be_equal() -> None:
    ids = np.arange(6).reshape(2, 3)
    assert index(x=ids.astype(np.int32)).find("x", ids) is not None
    assert index(x=(ids + 1).astype(np.int32)).find("x", ids) is None


def test_infinities_must_stand_in_the_same_places() -> None:
    masked = np.where(IMAGE > 1.0, -np.inf, IMAGE)
    assert agreement_db(masked, masked) == math.inf
    assert agreement_db(masked, IMAGE) == -math.inf


def test_agreement_is_the_signal_to_noise_ratio() -> None:
    assert agreement_db(np.array([3.0, 4.0]), np.array([3.0, 4.5])) == pytest.approx(20.0)  # 25 / 0.25


def test_likely_permutations_come_first() -> None:
    assert next(iter(permutations((1, 5, 4, 3), (1, 3, 5, 4)))) == (0, 3, 1, 2)
    assert next(iter(permutations((2, 3), (2, 3)))) == (0, 1)
    assert len(set(permutations((1, 5, 4, 3), (1, 3, 5, 4)))) == 6
