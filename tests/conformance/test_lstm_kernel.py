"""The LSTM kernel with float activations and int8 weights against the equations, with the roundings where the kernel has them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from case_data import Case, normal, weight
from one_op import OneOp, calibrate, dequantize, quantized, with_forms
from recurrent_cases import GATES, lstm, recurrent_cases

from bridge.quantize.forms import Form
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter, Kernels
from bridge.types import Ranges

ALL: tuple[Kernels, ...] = ("optimized", "builtin", "reference")
NO_RANGES = Ranges({}, 0, "none", "")


def exactly(values: np.ndarray) -> np.ndarray:
    return values


def rounded(values: np.ndarray) -> np.ndarray:
    """Every row in int8 steps of its own range, which holds zero."""
    low, high = np.minimum(values.min(axis=1, keepdims=True), 0), np.maximum(values.max(axis=1, keepdims=True), 0)
    step = np.where(high > low, (high - low) / 255, 1)
    return np.asarray(np.rint(values / step) * step)


def sigmoid(values: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 + 0.5 * np.tanh(values / 2))


def hidden_states(model: tflite.ModelT, data: np.ndarray, read: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """[steps, batch, units] from [steps, batch, inputs]; `read` is what the kernel does to input and hidden state before it multiplies them.

    Source: Sak et al. 2014, https://arxiv.org/abs/1402.1128, without peepholes and projection.
    """
    tensors = {tflite.text(tensor.name): tensor for tensor in tflite.main_graph(model).tensors}
    values = {}
    for position in (*range(1, 9), *range(12, 16)):
        tensor = tensors[f"in{position}"]
        stored = tflite.constant(model, tensor)
        values[position] = stored if tensor.quantization is None else dequantize(stored, tensor)
    hidden = cell = np.zeros((data.shape[1], len(values[12])))
    outputs = []
    for now in data.astype(np.float64):
        gate = {name: read(now) @ values[1 + at].T + read(hidden) @ values[5 + at].T + values[12 + at] for at, name in enumerate(GATES)}
        cell = sigmoid(gate["f"]) * cell + sigmoid(gate["i"]) * np.tanh(gate["c"])
        hidden = sigmoid(gate["o"]) * np.tanh(cell)
        outputs.append(hidden)
    return np.stack(outputs)


@pytest.mark.parametrize("case", tuple(recurrent_cases()), ids=lambda case: case.id)
def test_lstm_with_int8_weights_rounds_inputs_and_hidden_state_and_nothing_else(
    case: Case, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    model, outcome = quantized(case.model.build(), NO_RANGES, tmp_path, "dynamic_wi8_afp32")
    assert (outcome.precision, outcome.reason) == ("dynamic_wi8_afp32", "")
    seen = 0.0
    for kernels in ALL:
        interpreter = Interpreter(tflite.serialize(model), kernels=kernels)
        for sample in case.model.samples():
            wanted = hidden_states(model, sample["in0"], rounded)
            off = float(np.abs(interpreter.run(sample)[0] - wanted).max())
            assert off < 1e-5
            seen = max(seen, off / (float(np.std(wanted - hidden_states(model, sample["in0"], exactly))) + 1e-6))
    record_property("measured", (case.model.op, "dynamic_wi8_afp32", seen))


def test_lstm_kernel_takes_the_first_scale_of_several_for_all_units() -> None:
    op: OneOp = lstm(normal(5, 2, 6))
    peaks = {f"in{position}": np.abs(op.constants[position]).max(axis=1) / 127 for position in range(1, 9)}
    forms = {name: Form("INT8", tuple(float(np.float32(scale)) for scale in scales), (0,) * len(scales)) for name, scales in peaks.items()}
    model = with_forms(op, forms, 3)
    tflite.main_graph(model).operators[0].builtinOptions.asymmetricQuantizeInputs = True
    for kernels in ALL:
        interpreter = Interpreter(tflite.serialize(model), kernels=kernels)
        off = [interpreter.run(sample)[0] - hidden_states(model, sample["in0"], exactly) for sample in op.samples()]
        assert np.sqrt(np.mean(np.square(off))) > 0.1


def test_an_lstm_with_peepholes_is_refused(tmp_path: Path) -> None:
    plain = lstm(normal(5, 2, 6))
    with_peephole = replace(plain, constants={**plain.constants, **{position: weight(8, key=position) for position in (9, 10, 11)}})
    _, outcome = quantized(with_peephole.build(), NO_RANGES, tmp_path, "dynamic_wi8_afp32")
    assert (outcome.precision, outcome.reason) == ("weight_only_wi8_afp32", "it has peepholes, a projection or normalised gates")


def test_an_lstm_in_a_static_file_takes_int8_weights(tmp_path: Path) -> None:
    op = lstm(normal(5, 2, 6))
    _, outcome = quantized(op.build(), calibrate(op.build(), op.samples()), tmp_path, "static_wi8_ai16")
    assert outcome.precision == "weight_only_wi8_afp32"
    assert outcome.reason.startswith("no static_wi8_ai16 kernel for UNIDIRECTIONAL_SEQUENCE_LSTM: it needs the ranges of what is computed inside")
