import math
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from test_outputs import Data
from two_layers import Builder, H, X, pair, real, stored

from bridge.compare.own_errors import ChannelSums, OwnErrors, Seen, charge_writers, own_errors
from bridge.tflite import model as tflite
from bridge.types import ConvertedModel, InputBinding, NodeFacts, OpOutcome, QuantizedModel, TensorMap, TensorSpec

RNG = np.random.default_rng(0)
INT8 = "static_wi8_ai8"


def sqnr(reference: np.ndarray, noise: np.ndarray) -> float:
    sums = ChannelSums()
    for half in (0, 1):
        sums.add(reference[None, half::2], (reference + noise)[None, half::2])
    (found,) = sums.sqnr_db()
    return found


@pytest.mark.parametrize("shape", [(5,), (7, 1), (90, 3), (5, 6, 16)])
def test_tensors_taken_in_together_have_the_sums_of_each_alone(shape: tuple[int, ...]) -> None:
    reference, candidate = RNG.standard_normal((2, 3, *shape)).astype(np.float32)
    together, each = ChannelSums(), [ChannelSums() for _ in reference]
    together.add(reference, candidate)
    for one, r, c in zip(each, reference, candidate, strict=True):
        one.add(r[None], c[None])
    assert together.sqnr_db() == [found for one in each for found in one.sqnr_db()]


def test_sums_made_with_other_tensors_can_be_put_together() -> None:
    """A tensor whose shape differs from sample to sample has other company in each."""
    (r, other), (c, _) = RNG.standard_normal((2, 2, 40, 6)).astype(np.float32), RNG.standard_normal((2, 2, 40, 6)).astype(np.float32)
    in_company, whole = ChannelSums(), ChannelSums()
    in_company.add(np.stack([other, r]), np.stack([other, c]))
    taken = in_company.alone(1)
    for sums in (taken, whole):
        rest = ChannelSums()
        rest.add(r[None, :20], c[None, :20])
        sums.merge(rest)
    whole.add(r[None], c[None])
    assert taken.sqnr_db() == pytest.approx(whole.sqnr_db())


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
    return NodeFacts(name, "Op", "", (), "", (name,), specs, (TensorSpec(f"{name}_out", (1,), "float32"),))


CHAIN = (node("first", ""), node("moved", "first"), node("other", ""), node("reader", "moved other"))


def test_an_integer_node_answers_for_itself() -> None:
    errors = OwnErrors({"first": 30.0, "reader": 5.0}, reduced=frozenset({"first", "reader"}))
    assert charge_writers(CHAIN, errors) == {"first": 30.0, "reader": 5.0}


def test_what_a_float_node_loses_is_charged_to_the_integer_nodes_it_reads_also_through_movement() -> None:
    errors = {"first": 30.0, "other": 40.0, "reader": 5.0}
    assert charge_writers(CHAIN, OwnErrors(errors, frozenset({"first", "other"}))) == {"first": 5.0, "other": 5.0}
    assert charge_writers(CHAIN, OwnErrors(errors, frozenset({"first"}))) == {"first": 5.0}


def test_a_float_writer_is_not_charged() -> None:
    assert charge_writers(CHAIN, OwnErrors({"first": math.inf, "reader": 5.0})) == {}


def test_what_a_chained_float_node_loses_is_charged_through_the_float_node_before_it() -> None:
    nodes = (node("matmul", ""), node("clip", "matmul"), node("log", "clip"))
    errors = {"matmul": 40.0, "clip": 45.0, "log": 2.0}
    assert charge_writers(nodes, OwnErrors(errors, frozenset({"matmul"}), chained=frozenset({"log"}))) == {"matmul": 2.0}
    assert charge_writers(nodes, OwnErrors(errors, frozenset({"matmul"}))) == {"matmul": 40.0}


def chain_files(folder: Path) -> tuple[ConvertedModel, QuantizedModel]:
    """FULLY_CONNECTED in int8, then RELU and LOG in float, as three nodes; x holds magnitudes over five decades."""
    files = []
    for integer in (False, True):
        build = Builder()
        x, h = build.tensor("x", (1, 64)), build.tensor("h", (1, 64), *(("INT8", H) if integer else ()))
        source, read = x, h
        if integer:
            source = build.tensor("x_int8", (1, 64), "INT8", X)
            build.op("QUANTIZE", [x], [source])
            build.dense(source, build.constant("w", np.eye(64, dtype=np.int8), 1.0), build.constant("b", np.zeros(64, np.int32), X.scale), h, 4)
            read = build.tensor("h_float", (1, 64))
            build.op("DEQUANTIZE", [h], [read], 2)
        else:
            build.dense(x, build.constant("w", np.eye(64, dtype=np.float32)), build.constant("b", np.zeros(64, np.float32)), h, 1)
        clipped, y = build.tensor("clipped", (1, 64)), build.tensor("y", (1, 64))
        build.op("RELU", [read], [clipped])
        build.op("LOG", [clipped], [y])
        files.append(build.save(folder / f"{integer}.tflite", [x], [y]))
    tensor_map = TensorMap(
        pairs=(pair("matmul", "h", 64), pair("clip", "clipped", 64), pair("log", "y", 64)),
        inputs=(InputBinding("x", "x", (1, 64), (0, 1), "float32"),),
        outputs=(pair("log", "y", 64),),
        owners=("matmul", "clip", "log"),
        absorbed=MappingProxyType({}),
    )
    ops = [("FULLY_CONNECTED", INT8, 1), ("RELU", "float32", 3), ("LOG", "float32", 4)]
    outcomes = tuple(OpOutcome(index, name, precision, "", position) for index, (name, precision, position) in enumerate(ops))
    return ConvertedModel(files[0], "", tensor_map, ""), QuantizedModel(files[1], "", INT8, outcomes)


def test_a_logarithm_behind_a_float_clip_shows_what_the_rounding_before_the_clip_cost(tmp_path: Path) -> None:
    x = np.geomspace(1e-3, 8.0, 64, dtype=np.float32)[None]
    rounded = real(stored(x, H), H)
    converted, quantized = chain_files(tmp_path)
    errors = own_errors(converted, (tflite.read(quantized.path), quantized.ops), Data(x[None]), count=1, threads=1)
    assert errors.chained == {"log"}
    assert errors.reduced == {"matmul"}
    assert errors.sqnr_db["log"] < 0.0  # log(0) is minus infinity
    assert errors.sqnr_db["clip"] == pytest.approx(sqnr(x, rounded - x), abs=0.1)
    assert charge_writers((node("matmul", ""), node("clip", "matmul"), node("log", "clip")), errors)["matmul"] == errors.sqnr_db["log"]


class NoData(Data):
    """Nobody may look at these."""

    def __getitem__(self, position: int) -> dict[str, np.ndarray]:
        raise AssertionError("a sample was asked for")


def test_what_was_seen_is_not_measured_again(tmp_path: Path) -> None:
    x = np.geomspace(1e-3, 8.0, 64, dtype=np.float32)[None]
    converted, quantized = chain_files(tmp_path)
    trial, seen = (tflite.read(quantized.path), quantized.ops), Seen()
    errors = own_errors(converted, trial, Data(x[None]), count=1, threads=1, seen=seen)
    assert own_errors(converted, trial, NoData(x[None]), count=1, threads=1, seen=seen) == errors
    in_float = (tflite.read(converted.path), [OpOutcome(index, "", "float32", "", index) for index in range(3)])
    assert own_errors(converted, in_float, NoData(x[None]), count=1, threads=1, seen=seen).sqnr_db == dict.fromkeys(
        ("matmul", "clip", "log"), math.inf
    )


def test_a_node_that_does_what_the_float_file_does_loses_nothing_unless_it_is_not_finite(tmp_path: Path) -> None:
    converted, _ = chain_files(tmp_path)
    in_float = (tflite.read(converted.path), [OpOutcome(index, "", "float32", "", index) for index in range(3)])
    for lowest, log in ((1.0, math.inf), (0.0, -math.inf)):
        x = np.linspace(lowest, 8.0, 64, dtype=np.float32)[None]
        errors = own_errors(converted, in_float, Data(x[None]), count=1, threads=1)
        assert errors.sqnr_db == {"matmul": math.inf, "clip": math.inf, "log": log}
