"""Channels of like range between two layers, in a file that computes the same."""

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from small_nets import INT8, RELU, Layers, min_max, run

from bridge.calibrate import from_arrays
from bridge.recover import equalize
from bridge.recover.equalization import equalized
from bridge.tflite import model as tflite
from bridge.types import ConvertedModel, InputBinding, TensorMap, TensorPair, TensorSpec

RNG = np.random.default_rng(6)
VALUES = RNG.standard_normal((30, 1, 6, 6, 4)).astype(np.float32)
UNEVEN = np.array([30.0, 1.0, 0.1, 3.0, 0.3])  # sizes of the channels between the layers


def first(activation: int = RELU) -> Layers:
    """A layer with channels of very different size."""
    weight = RNG.standard_normal((5, 3, 3, 4)) * UNEVEN[:, None, None, None]
    return Layers(1, 6, 6, 4).conv("a", weight, RNG.standard_normal(5) * UNEVEN, activation=activation)


def depthwise(layers: Layers) -> Layers:
    """A layer that undoes the difference."""
    return layers.depthwise("b", RNG.standard_normal((1, 3, 3, 5)) / UNEVEN, np.zeros(5), activation=RELU)


def equalized_file(path: Path) -> tuple[Path, frozenset[str]]:
    """The equalized file beside the given one, and what has other values in it."""
    content, names = equalized(tflite.read(path), [{"x": value} for value in VALUES], where="net")
    other = path.with_suffix(".equalized.tflite")
    other.write_bytes(content)
    return other, names


@pytest.mark.parametrize("between", ["", "RELU"])
def test_the_outputs_stay_and_the_channels_get_like_ranges(tmp_path: Path, between: str) -> None:
    layers = first(activation=0 if between == "RELU" else RELU)
    if between == "RELU":
        layers = layers.unary("RELU", "relu")
    path = depthwise(layers).conv("c", RNG.standard_normal((3, 1, 1, 5)), np.ones(3)).save(tmp_path / "net.tflite")
    other, names = equalized_file(path)
    expected = run(path, VALUES)
    assert np.abs(run(other, VALUES) - expected).max() <= 1e-5 * np.abs(expected).max()  # float32 sums in another order
    assert {"a", "b"} <= names
    assert min_max(other, VALUES).tensors["c"].maximum == pytest.approx(min_max(path, VALUES).tensors["c"].maximum, rel=1e-5)
    shown = tflite.expose(tflite.read(other), [1 + 2])  # behind the input and the two constants of `a`
    exposed = tmp_path / "shown.tflite"
    exposed.write_bytes(shown.mapped())
    largest = np.abs(run(exposed, VALUES)).max(axis=(0, 1, 2, 3))
    assert largest.max() < 3 * largest.min()


@pytest.mark.parametrize("why", ["two readers", "a model output", "a bounded activation", "an operator that mixes sizes"])
def test_layers_that_cannot_exchange_factors_stay(tmp_path: Path, why: str) -> None:
    layers = first(activation=3 if why == "a bounded activation" else RELU)  # 3 is RELU6
    if why == "an operator that mixes sizes":
        layers = layers.unary("LOGISTIC", "sigmoid")
    layers = layers.conv("b", RNG.standard_normal((3, 1, 1, 5)), np.zeros(3))
    if why == "two readers":
        layers.graph.operators.append(
            tflite.add_op(layers.model, "RELU", 1, [3], [tflite.add_tensor(layers.model, layers.graph, "other", "FLOAT32", (1, 6, 6, 5))])
        )
        path = layers.save(tmp_path / "net.tflite", "other")
    else:
        path = layers.save(tmp_path / "net.tflite", *(["a"] if why == "a model output" else []))
    assert equalized_file(path)[1] == frozenset()


def converted(path: Path) -> ConvertedModel:
    """A float file whose every tensor has a counterpart."""
    pairs = tuple(TensorPair(name, name, "mapped", "", name) for name in ("a", "b", "c"))
    binding = InputBinding("x", "x", (1, 6, 6, 4), (0, 1, 2, 3), "float32")
    return ConvertedModel(path, "", TensorMap(pairs, (binding,), pairs[-1:], ("a", "b", "c"), {}), "")


def test_it_is_kept_where_it_helps_and_rescaled_tensors_lose_their_counterpart(tmp_path: Path) -> None:
    path = depthwise(first()).conv("c", RNG.standard_normal((3, 1, 1, 5)), np.zeros(3)).save(tmp_path / "net.tflite")
    before = path.read_bytes()
    samples = from_arrays({"x": VALUES}, [TensorSpec("x", (1, 6, 6, 4), "float32")])
    made, outcome = equalize(converted(path), samples, op_precisions=[INT8] * 3, precision=INT8, threads=1)
    assert outcome.kept
    assert made.path.read_bytes() != before
    by_name = {pair.tensor: pair for pair in made.tensor_map.pairs}
    assert by_name["a"].status == "missing"
    assert by_name["a"].reason == "its channels were rescaled by equalization, so its values are not those of the source model"
    assert by_name["c"].status == "mapped"


def test_it_is_taken_back_where_it_does_not_help(tmp_path: Path) -> None:
    path = (
        Layers(1, 6, 6, 4)
        .conv("a", np.linspace(1, 1.001, 20).reshape(5, 1, 1, 4), np.zeros(5))
        .conv("b", np.linspace(1, 1.001, 15).reshape(3, 1, 1, 5), np.zeros(3))
        .save(tmp_path / "net.tflite")
    )
    before = path.read_bytes()
    samples = from_arrays({"x": VALUES}, [TensorSpec("x", (1, 6, 6, 4), "float32")])
    given = converted(path)
    made, outcome = equalize(given, samples, op_precisions=[INT8] * 2, precision=INT8, threads=1)
    assert not outcome.kept
    assert outcome.diagnostic().message.startswith("equalization: taken back; ")
    assert made is given
    assert path.read_bytes() == before


@pytest.mark.parametrize(("precision", "reason"), [("float32", "no weights become integers"), (INT8, "no two layers exchange factors")])
def test_without_anything_to_do_it_says_why(tmp_path: Path, precision: str, reason: str) -> None:
    path = first().save(tmp_path / "net.tflite")
    samples = from_arrays({"x": VALUES}, [TensorSpec("x", (1, 6, 6, 4), "float32")])
    _, outcome = equalize(replace(converted(path)), samples, op_precisions=[precision], precision=precision, threads=1)
    assert outcome.diagnostic().message == f"equalization: not tried, {reason}."
