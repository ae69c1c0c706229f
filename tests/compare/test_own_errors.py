import math

import numpy as np
import pytest

from bridge.compare.own_errors import ChannelSums, charge_writers
from bridge.types import NodeFacts, TensorSpec

RNG = np.random.default_rng(0)


def sqnr(reference: np.ndarray, noise: np.ndarray) -> float:
    sums = ChannelSums()
    for half in (0, 1):
        sums.add(reference[half::2], (reference + noise)[half::2])
    return sums.sqnr_db()


def test_with_equal_channels_it_is_the_plain_ratio_of_what_varies() -> None:
    reference = RNG.standard_normal((400, 8))
    noise = 0.01 * RNG.standard_normal((400, 8))
    assert sqnr(reference, noise) == pytest.approx(40.0, abs=0.5)


def test_a_constant_per_channel_is_no_signal() -> None:
    reference = RNG.standard_normal((400, 8))
    noise = 0.01 * RNG.standard_normal((400, 8))
    assert sqnr(reference + 100.0, noise) == pytest.approx(sqnr(reference, noise), abs=1e-3)


def test_one_loud_channel_does_not_hide_the_quiet_ones() -> None:
    loudness = np.array([1000.0] + [1.0] * 7)
    noise = RNG.standard_normal((400, 8))  # one scale for all
    reference = RNG.standard_normal((400, 8)) * loudness
    assert sqnr(reference, noise) == pytest.approx(0.0, abs=1.0)
    assert 10 * math.log10(float(np.square(reference).sum() / np.square(noise).sum())) > 45


def test_channels_that_never_vary_do_not_count() -> None:
    reference = RNG.standard_normal((400, 8))
    reference[:, 4:] = 3.0
    assert sqnr(reference, 0.01 * RNG.standard_normal((400, 8))) == pytest.approx(
        37.0, abs=0.7
    )  # the noise of dead channels still counts in the whole


def test_with_few_elements_only_the_whole_tensor_counts() -> None:
    reference = np.array([[1000.0, 1.0, -1.0], [990.0, 2.0, -2.0]])
    assert sqnr(reference, np.ones((2, 3))) > 50


def test_no_noise_is_infinite_and_no_signal_is_minus_infinite() -> None:
    assert sqnr(RNG.standard_normal((100, 2)), np.zeros((100, 2))) == math.inf
    assert sqnr(np.zeros((100, 2)), np.ones((100, 2))) == -math.inf


def node(name: str, inputs: str) -> NodeFacts:
    specs = tuple(TensorSpec(f"{tensor}_out", (1,), "float32") for tensor in inputs.split())
    return NodeFacts(name, "Op", "", None, "", (name,), specs, (TensorSpec(f"{name}_out", (1,), "float32"),))


CHAIN = (node("first", ""), node("moved", "first"), node("other", ""), node("reader", "moved other"))


def test_an_integer_node_answers_for_itself() -> None:
    assert charge_writers(CHAIN, {"first": 30.0, "reader": 5.0}, {"first", "reader"}) == {"first": 30.0, "reader": 5.0}


def test_what_a_float_node_loses_is_charged_to_the_integer_nodes_it_reads_also_through_movement() -> None:
    errors = {"first": 30.0, "other": 40.0, "reader": 5.0}
    assert charge_writers(CHAIN, errors, {"first", "other"}) == {"first": 5.0, "other": 5.0}
    assert charge_writers(CHAIN, errors, {"first"}) == {"first": 5.0}


def test_a_float_writer_is_not_charged() -> None:
    assert charge_writers(CHAIN, {"first": math.inf, "reader": 5.0}, set()) == {}
