"""Predicted noise against a simulation of rounding in numpy; what follows an operator that becomes float."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from workloads import FLOAT, INT8, chain

from bridge.quantize.float_graph import FloatGraph, read_graph
from bridge.tflite import model as tflite
from bridge.tune.noise import Noise
from bridge.tune.space import Space
from bridge.tune.surrogate import Surrogate

SIZE, SAMPLES = 16, 4000
STEPS = (0.04, 0.02, 0.05, 0.03)  # of the input and of the results of three layers
SCALES = (1.5, 0.7, 2.0)


def layers() -> list[np.ndarray]:
    """Orthogonal matrices times a number: they pass on noise evenly, so that the gain is the number squared."""
    rng = np.random.default_rng(0)
    return [scale * np.linalg.qr(rng.normal(size=(SIZE, SIZE)))[0] for scale in SCALES]


def graph(path: Path, *, reshape: bool = False) -> FloatGraph:
    chain(path, [(weight.astype(np.float32), np.zeros(SIZE, np.float32)) for weight in layers()], relu=False, reshape=reshape)
    return read_graph(tflite.read(path), where=str(path))


def simulated(rounded: Mapping[int, bool]) -> float:
    """Noise over signal at the output of a chain whose layer i rounds what it reads and its result where `rounded[i]`; in between all is exact."""
    rng = np.random.default_rng(1)
    exact = rng.normal(size=(SAMPLES, SIZE))
    value, known = exact, False  # whether `value` is rounded already
    for place, weight in enumerate(layers()):
        if rounded[place] and not known:
            value = STEPS[place] * np.round(value / STEPS[place])
        exact, value = exact @ weight.T, value @ weight.T
        if rounded[place]:
            value = STEPS[place + 1] * np.round(value / STEPS[place + 1])
        known = rounded[place]
    return float(np.square(value - exact).sum() / np.square(exact).sum())


@pytest.mark.parametrize("floats", [(), (0,), (1,), (2,), (0, 1), (0, 2)])
def test_predicted_noise_is_that_of_rounding(floats: tuple[int, ...], tmp_path: Path) -> None:
    made = graph(tmp_path / "net.tflite")
    (x,) = made.inputs
    tensors = [x, *(op.outputs[0] for op in made.ops)]
    signal, rounding, fresh, gain = (np.zeros(len(made.tensors)) for _ in range(4))
    power = SAMPLES * SIZE * np.cumprod([1.0, *(scale**2 for scale in SCALES)])  # inputs have variance 1
    for place, tensor in enumerate(tensors):
        signal[tensor], rounding[tensor] = power[place], SAMPLES * SIZE * STEPS[place] ** 2 / 12
        if place:
            fresh[tensor], gain[tensor] = rounding[tensor], SCALES[place - 1] ** 2
    weight = {(op.index, op.inputs[0]): 1.0 for op in made.ops}
    noise = Noise(made, signal, rounding, fresh, gain, np.zeros(len(made.tensors)), weight)
    surrogate = Surrogate(noise, Space(made, ("a", "b", "c"), (INT8,) * 3, (INT8,) * 3))
    (predicted,) = surrogate.predict({"abc"[place]: FLOAT for place in floats})
    expected = simulated({place: place not in floats for place in range(3)})
    assert predicted == pytest.approx(expected, rel=0.05)  # 64,000 roundings; the error of their mean is about 1 %


def test_what_moves_data_follows_what_it_carries(tmp_path: Path) -> None:
    made = graph(tmp_path / "net.tflite", reshape=True)
    kinds = [op.name for op in made.ops]
    assert kinds == ["FULLY_CONNECTED", "RESHAPE", "FULLY_CONNECTED", "RESHAPE", "FULLY_CONNECTED"]
    space = Space(made, ("a", "a/shape", "b", "b/shape", "c"), (INT8,) * 5, (INT8,) * 5)
    assert list(space.candidates) == ["a", "b", "c"]
    assert space.integer({}) == [True] * 5
    assert space.integer({"a": FLOAT}) == [False, False, True, True, True]
    assert space.integer({"c": FLOAT}) == [True, True, True, True, False]
    assert space.integer({"a": FLOAT, "b": FLOAT}) == [False, False, False, False, True]
