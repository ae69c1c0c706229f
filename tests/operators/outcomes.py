"""What `bridge convert --precision float32` makes of a backend test."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from backend_cases import Case

import bridge
from bridge.convert.tensor_map_file import read_tensor_map
from bridge.errors import BridgeError, ToolError
from bridge.tflite.feeds import feed
from bridge.tflite.interpreter import Interpreter
from bridge.types import TensorMap

type Json = dict[str, object]

# Of the largest element of an output: what a float32 sum leaves of terms that cancel out. The shipped results have such noise themselves (a DFT
# of 10 points has 1.9e-7 where the exact value is 0), and their absolute tolerance of 1e-7 does not know how large the terms are.
NOISE = 2.0**-24


def outcome(case: Case, *, with_samples: bool) -> Json:
    """`status`: right, wrong (against the shipped outputs), cannot-run, or refused with exit code, causes and message.

    Args:
        case: the test.
        with_samples: whether the case's inputs are given as samples, or none are.
    """
    with tempfile.TemporaryDirectory(prefix="operators-") as name:
        os.chdir(name)
        folder = Path(name)
        model = folder / "model.onnx"
        onnx.save_model(case.model, model)
        try:
            samples = _samples(case) if with_samples else None
            bridge.convert(model, evaluation=samples, precision="float32", compare=False, output_dir=folder / "out", threads=1)
        except BridgeError as error:
            causes = getattr(error, "causes", ())
            return {"status": "refused", "exit": error.exit_code, "kind": type(error).__name__, "causes": list(causes), "message": error.message}
        tensor_map = read_tensor_map(folder / "out" / "tensor_map.json")
        try:
            received = run(folder / "out" / "model.float32.tflite", tensor_map, case.inputs)
        except ToolError as error:
            return {"status": "cannot-run", "message": error.message}
    return _compared(case, received)


def _samples(case: Case) -> "bridge.Calibration | None":
    if not all(isinstance(value, np.ndarray) for value in case.inputs.values()):
        return None
    return bridge.Calibration.from_arrays({name: np.asarray(value)[None] for name, value in case.inputs.items()})


def run(path: Path, tensor_map: TensorMap, inputs: Mapping[str, object]) -> dict[str, np.ndarray]:
    """Outputs of the file by name, in the axis order of the ONNX model."""
    interpreter = Interpreter(path)
    arrays = {name: np.asarray(value) for name, value in inputs.items()}
    results = dict(zip((spec.name for spec in interpreter.outputs), interpreter.run(feed(tensor_map.inputs, arrays)), strict=True))
    return {
        pair.tensor: results[str(pair.tflite_tensor)].transpose(pair.permutation).reshape(pair.onnx_shape)
        for pair in tensor_map.outputs
        if pair.tflite_tensor in results
    }


def _compared(case: Case, received: Mapping[str, np.ndarray]) -> Json:
    for name, value in case.outputs.items():
        expected = np.asarray(value)
        if name not in received:
            return {"status": "wrong", "message": f"{name!r} is no output of the file"}
        got = received[name]
        if got.shape != expected.shape:
            return {"status": "wrong", "message": f"{name!r} has shape {got.shape} instead of {expected.shape}"}
        same = np.isclose(got.astype(np.float64), expected.astype(np.float64), rtol=case.rtol, atol=case.atol, equal_nan=True)
        if not same.all():
            largest = float(np.abs(got.astype(np.float64) - expected.astype(np.float64))[~same].max())
            noise = largest <= NOISE * float(np.abs(expected[np.isfinite(expected)]).max(initial=0.0).astype(np.float64))
            return {
                "status": "right" if noise and expected.dtype.kind == "f" else "wrong",
                "message": f"{name!r}: {int((~same).sum())} of {same.size} elements differ, by {largest:.2g} at most",
            }
    return {"status": "right"}
