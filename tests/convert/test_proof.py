import math
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from bridge.agreement import agreement_db
from bridge.convert import Onnx2tfOptions, to_float_tflite
from bridge.convert.proof import BOUNDED_ERROR, LEAST_DB, PROOF_DB, Proof, amplified, rounded_otherwise
from bridge.convert.tensor_map import ValueIndex
from bridge.errors import ToolError
from bridge.graph import normalize
from bridge.types import ConvertedModel, SourceModel

RNG = np.random.default_rng(5)


def convert(folder: Path, body: str, spoil: Callable[[np.ndarray], np.ndarray] = lambda value: value, bias: float = 0.0) -> ConvertedModel:
    rng = np.random.default_rng(5)
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 20]> g (float[1,64] x) => (float[1,32] y) {body}')
    constants = {"w": rng.standard_normal((64, 32)) / 8, "b": np.full(32, bias), "one": np.ones(1), "r": np.full(1, 3.99)}
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items())
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return to_float_tflite(
        normalize(SourceModel(proto=proto, digest=sha256(proto.SerializeToString()).hexdigest()), input_shapes={}),
        folder / "net.tflite",
        reference=lambda feeds: {"y": spoil(session.run(None, dict(feeds))[0])},
        probes=[{"x": rng.standard_normal((1, 64)).astype(np.float32)} for _ in range(2)],
        input_layout="auto",
        options=Onnx2tfOptions(folder / "onnx2tf.log"),
        threads=1,
    )


def chaotic(steps: int) -> str:
    """The logistic map doubles a difference in each step, on average."""
    lines = ["h = Gemm(x, w, b)", "v0 = Sigmoid(h)"]
    for step in range(steps):
        lines += [f"c{step} = Sub(one, v{step})", f"p{step} = Mul(v{step}, c{step})", f"v{step + 1} = Mul(r, p{step})"]
    return "{ " + "\n".join([*lines, f"y = Identity(v{steps})"]) + " }"


def test_a_model_that_amplifies_rounding_is_held_to_what_its_own_rounding_leaves(tmp_path: Path) -> None:
    (output,) = convert(tmp_path, chaotic(19)).tensor_map.outputs
    assert output.status == "mapped"
    assert output.sqnr_db is not None
    assert LEAST_DB < output.sqnr_db < PROOF_DB


def test_amplified_rounding_excuses_no_wrong_file(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="does not compute what onnxruntime computes at 'y'"):
        convert(tmp_path, chaotic(19), spoil=lambda value: np.ascontiguousarray(value[:, ::-1]))


def test_a_sigmoid_far_from_zero_is_exact_to_a_part_of_its_range(tmp_path: Path) -> None:
    """onnxruntime gives multiples of 2 ** -24 where TFLite gives 8e-7."""
    (output,) = convert(tmp_path, "{ h = Gemm(x, w, b)\n y = Sigmoid(h) }", bias=-14.0).tensor_map.outputs
    assert output.status == "mapped"


def test_a_sigmoid_of_zero_and_one_of_almost_zero_are_a_pair_by_name_only() -> None:
    zeros, tiny = np.zeros((2, 4, 4), np.float32), RNG.uniform(1e-18, 1e-9, (2, 4, 4)).astype(np.float32)
    index = ValueIndex({0: "y"}, {0: tiny})
    assert index.find("y", zeros) is None
    assert index.find("y", zeros, proof=Proof(error=BOUNDED_ERROR)) is not None
    assert index.find("z", zeros, proof=Proof(error=BOUNDED_ERROR)) is None


def test_every_float_is_rounded_once_and_integers_stay() -> None:
    probe: dict[str, np.ndarray] = {"x": RNG.standard_normal((4, 8)).astype(np.float32), "ids": np.arange(4)}
    other = rounded_otherwise(probe, seed=0)
    assert np.array_equal(other["ids"], probe["ids"])
    assert other["x"].dtype == np.float32
    steps = np.abs(other["x"] - probe["x"]) / np.spacing(np.abs(probe["x"]))
    assert ((steps >= 1) & (steps <= 2)).all()


def test_what_keeps_its_values_keeps_the_level() -> None:
    value = RNG.standard_normal((2, 8)).astype(np.float32)
    assert amplified({"y": value}, {"y": value * np.float32(1 + 1e-6)}) == {}


def test_the_level_follows_the_amplified_rounding_down_to_the_least() -> None:
    value = np.ones((1, 4), np.float32)
    assert amplified({"y": value}, {"y": value * np.float32(1.001)})["y"].level_db == pytest.approx(54.0, abs=0.01)
    assert amplified({"y": value}, {"y": -value})["y"].level_db == LEAST_DB


def test_an_absolute_error_proves_what_its_ratio_does_not() -> None:
    small = np.full((1, 8), 1e-6)
    assert agreement_db(small, small + BOUNDED_ERROR / 2) < PROOF_DB
    assert Proof().agreement(small, small + BOUNDED_ERROR / 2) is None
    assert Proof(error=BOUNDED_ERROR).agreement(small, small + BOUNDED_ERROR / 2) is not None
    assert Proof(error=BOUNDED_ERROR).agreement(small, small + BOUNDED_ERROR * 2) is None


@pytest.mark.parametrize("level", [30.0, 60.0])
def test_the_energy_tolerance_holds_for_every_value_at_the_level(level: float) -> None:
    value = RNG.standard_normal(4096)
    worst = value * (1 + 10 ** (-level / 20))  # noise in the direction of the signal
    assert agreement_db(value, worst) == pytest.approx(level)
    assert abs(np.square(worst).sum() / np.square(value).sum() - 1) <= Proof(level_db=level).energy_tolerance()
    assert math.isclose(Proof(level_db=40.0).energy_tolerance(), 0.03)
