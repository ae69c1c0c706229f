"""Constants that accuracy recovery gives in place of those of the file."""

from pathlib import Path

import numpy as np
import pytest
from nets import INT8, Net, quantized, tensors

from bridge.errors import UsageError
from bridge.quantize import Corrections, merge
from bridge.tflite import model as tflite

RNG = np.random.default_rng(5)
WEIGHT = RNG.standard_normal((3, 4)).astype(np.float32)
BIAS = RNG.standard_normal(3).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two FULLY_CONNECTED on the same weight; the first has a bias."""
    net = Net()
    x = net.input("x", 1, 4)
    weight, bias = net.constant("weight", WEIGHT), net.constant("bias", BIAS)
    first = net.op("FULLY_CONNECTED", [x, weight, bias], "first", 1, 3, options=("FullyConnectedOptions", {}))
    second = net.op("FULLY_CONNECTED", [x, weight], "second", 1, 3, options=("FullyConnectedOptions", {}))
    return net.save(tmp_path / "net.tflite", first, second)


def constants(path: Path, op: int) -> dict[int, np.ndarray]:
    """Real values of an operator's constants, by position."""
    model = tflite.read(path)
    graph = tflite.main_graph(model)
    operators = [operator for operator in graph.operators if tflite.op_name(model, operator) == "FULLY_CONNECTED"]
    found = {}
    for position, index in enumerate(operators[op].inputs):
        tensor = graph.tensors[int(index)]
        if index >= 0 and tflite.is_constant(model, tensor):
            scales = np.asarray(tensor.quantization.scale, np.float64)
            value = tflite.constant(model, tensor)
            found[position] = value * scales.reshape([-1] + [1] * (value.ndim - 1))
    return found


def test_nothing_given_changes_nothing(path: Path) -> None:
    plain = quantized(path).path.read_bytes()
    assert quantized(path, corrections=Corrections()).path.read_bytes() == plain


def test_a_bias_replaces_the_old_one_and_one_is_added_where_there_was_none(path: Path) -> None:
    given = np.array([7, -8, 9], np.float32)
    made = quantized(path, corrections=Corrections(biases={0: given, 1: -given}))
    assert constants(made.path, 0)[2] == pytest.approx(given, rel=1e-3)
    assert constants(made.path, 1)[2] == pytest.approx(-given, rel=1e-3)
    assert {tensor.type for name, tensor in tensors(made.path).items() if "bias" in name} == {tflite.TYPE_CODES["INT32"]}


def test_a_shared_weight_is_corrected_for_one_reader_alone(path: Path) -> None:
    made = quantized(path, corrections=Corrections(weights={1: 2 * WEIGHT}))
    assert constants(made.path, 0)[1] == pytest.approx(WEIGHT, abs=float(np.abs(WEIGHT).max()) / 127)
    assert constants(made.path, 1)[1] == pytest.approx(2 * WEIGHT, abs=2 * float(np.abs(WEIGHT).max()) / 127)


def test_weights_on_the_grid_of_their_scales_are_stored_exactly(path: Path) -> None:
    scales = np.array([0.01, 0.02, 0.04], np.float32)
    grid = RNG.integers(-127, 128, (3, 4)).astype(np.float32) * scales[:, None]
    made = quantized(path, corrections=Corrections(weights={0: grid}, weight_scales={0: scales}))
    assert constants(made.path, 0)[1] == pytest.approx(grid, rel=1e-6)


def test_float_operators_keep_what_they_have(path: Path) -> None:
    corrections = Corrections(biases={0: BIAS + 1}, weights={0: 2 * WEIGHT, 1: 2 * WEIGHT})
    plain = quantized(path, "float32", "float32").path.read_bytes()
    assert quantized(path, "float32", "float32", corrections=corrections).path.read_bytes() == plain


def test_of_two_corrections_the_later_holds() -> None:
    first, second = Corrections(biases={0: BIAS, 1: BIAS}), Corrections(biases={1: -BIAS}, weights={0: WEIGHT})
    both = merge([first, second])
    assert both.biases[0] is BIAS
    assert np.array_equal(both.biases[1], -BIAS)
    assert both.weights[0] is WEIGHT


@pytest.mark.parametrize(
    ("corrections", "message"),
    [
        (Corrections(biases={2: BIAS}), r"corrections\.biases: the file has operators 0 \.\. 1\. Received: 2"),
        (Corrections(weights={0: WEIGHT * np.float32("nan")}), r"corrections\.weights must be finite.*operator 0"),
        (Corrections(weight_scales={0: np.zeros(3, np.float32)}), r"corrections\.weight_scales must be positive.*operator 0"),
        (Corrections(weights={0: WEIGHT.T}), r"corrections\.weights\[0\] must have the shape of the weight, \(3, 4\)\. Received: \(4, 3\)"),
        (Corrections(biases={1: BIAS[:2]}), r"corrections\.biases\[1\] must have one value per channel, \(3,\)\. Received: \(2,\)"),
        (
            Corrections(weight_scales={1: BIAS[:2] ** 2}),
            r"corrections\.weight_scales\[1\] must have one value per channel, \(3,\)\. Received: \(2,\)",
        ),
    ],
)
def test_corrections_that_do_not_fit_are_refused(corrections: Corrections, message: str, path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        quantized(path, INT8, INT8, corrections=corrections)
