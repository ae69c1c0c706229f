"""One evaluation for all tools: outputs of a file on the evaluation samples, errors against onnxruntime, latencies side by side.

    python bench_quantizers_evaluate.py JOB.json

runs as a process of its own, since a file with a fault can end the process that runs it.
"""

import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from bench_quantizers_source import bindings_of, samples_of, without_batch

from bridge import frontends
from bridge.compare import OnnxRunner, metrics
from bridge.compare.bindings import bind_inputs, output_names, pair_outputs
from bridge.compare.cost import float_mac_share
from bridge.compare.metrics import ErrorSums
from bridge.compare.outputs import Candidate, OutputPair, candidate
from bridge.errors import BridgeError
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter
from bridge.types import TensorSpec

MIN_ROUNDS, MAX_ROUNDS, LATENCY_BUDGET_S = 7, 60, 6.0


class Bench:
    """A model's evaluation samples and answers, against which files are held.

    Args:
        job: `model`, `input_shapes`, `evaluation`, `reference` (npz of onnxruntime's answers) and `inputs` (bindings of the common float file).
    """

    def __init__(self, job: Mapping[str, Any]) -> None:
        shapes = {name: tuple(shape) for name, shape in job["input_shapes"].items()}
        self._runner = OnnxRunner(frontends.load(Path(job["model"]), input_shapes=shapes).proto, threads=2, intermediates=False)
        inputs = [TensorSpec(spec.name, shapes.get(spec.name, spec.shape), spec.dtype) for spec in self._runner.inputs]
        self._samples = samples_of(Path(job["evaluation"]), inputs)
        self._bindings = bindings_of(job["inputs"])
        with np.load(job["reference"]) as archive:
            self._reference = {name: archive[name] for name in archive.files}

    def evaluate(self, file: Path, float_file: Path, outputs: Path, *, common: bool) -> dict[str, object]:
        """Errors of every output of a quantized file; its outputs are written for the task score.

        Which input and output of a file is which of the model is told from the tool's own float file, whose values are near enough to tell.

        Args:
            file: the quantized file.
            float_file: that of the same tool.
            outputs: npz to write.
            common: whether that is the float file whose inputs are known.
        """
        first = self._samples[0]
        bindings = self._bindings if common else bind_inputs(first, tflite.read(float_file), where=str(float_file))
        opened = candidate(float_file, bindings)
        expected = self._runner.run(first, self._runner.outputs)
        received = _real(opened, Interpreter(float_file, threads=2).run(opened.feeder(first)))
        pairs = pair_outputs(expected, received, output_names(tflite.read(float_file), expected), where=str(float_file))
        conversion_db = min(_error(expected[pair.name], received[pair.position], pair) for pair in pairs)
        sums, values = self._run(candidate(file, bindings), pairs)
        np.savez(outputs, allow_pickle=False, **values)
        content = tflite.read(file)
        errors = {name: metrics.sqnr_db(total) for name, total in sums.items()}
        return {
            "sqnr_db": min(errors.values()),
            "sqnr_by_output_db": errors,
            "conversion_sqnr_db": conversion_db,
            "bytes": file.stat().st_size,
            "float_mac_share": float_mac_share(content),
            "float_op_share": float_op_share(content),
            "samples": len(self._samples),
        }

    def _run(self, quantized: Candidate, pairs: Sequence[OutputPair]) -> tuple[dict[str, ErrorSums], dict[str, np.ndarray]]:
        interpreter = Interpreter(quantized.path, threads=2)
        outputs: dict[str, list[np.ndarray]] = {pair.name: [] for pair in pairs}
        sums = {pair.name: ErrorSums() for pair in pairs}
        for position in range(len(self._samples)):
            values = _real(quantized, interpreter.run(quantized.feeder(self._samples[position])))
            for pair in pairs:
                value = _onnx_order(values[pair.position], pair)
                sums[pair.name].add(self._reference[pair.name][position], value)
                outputs[pair.name].append(without_batch(value).astype(np.float32))
        return sums, {name: np.stack(rows) for name, rows in outputs.items()}


def float_op_share(model: tflite.ModelT) -> float:
    """Share of the operators that read floating-point activations and are no conversion, 0..1."""
    main = tflite.main_graph(model)
    real = [op for op in main.operators if tflite.op_name(model, op) not in ("QUANTIZE", "DEQUANTIZE")]
    floats = [op for op in real if any(index >= 0 and tflite.dtype(main.tensors[index]).kind == "f" for index in op.inputs)]
    return len(floats) / max(1, len(real))


def _real(opened: Candidate, values: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [value if form is None else form.real(value) for value, form in zip(values, opened.forms, strict=True)]


def _onnx_order(value: np.ndarray, pair: OutputPair) -> np.ndarray:
    return value.transpose(pair.permutation).reshape(pair.shape)


def _error(expected: np.ndarray, received: np.ndarray, pair: OutputPair) -> float:
    sums = ErrorSums()
    sums.add(expected, _onnx_order(received, pair))
    return metrics.sqnr_db(sums)


def latencies_ms(files: Sequence[Path], samples: Path) -> list[float]:
    """Median latency of each file in ms on a real sample, one thread, all files taking turns so that they meet the same machine."""
    runners = [Interpreter(path) for path in files]
    with np.load(samples) as archive:
        values = [archive[name][0] for name in archive.files]
    feeds = [_feed_by_shape(runner, values) for runner in runners]
    for runner, fed in zip(runners, feeds, strict=True):
        runner.run_views(fed)
    times: list[list[float]] = [[] for _ in files]
    started = time.perf_counter()
    while len(times[0]) < MIN_ROUNDS or (len(times[0]) < MAX_ROUNDS and time.perf_counter() - started < LATENCY_BUDGET_S):
        for runner, fed, measured in zip(runners, feeds, times, strict=True):
            begin = time.perf_counter()
            runner.run_views(fed)
            measured.append((time.perf_counter() - begin) * 1e3)
    return [median(measured) for measured in times]


def _feed_by_shape(runner: Interpreter, values: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Real values where an input of that shape exists; for time, which input gets which is of no matter."""
    fed = {}
    for spec in runner.inputs:
        fitting = [value for value in values if value.size == math.prod(int(size) for size in spec.shape)]
        dtype = np.dtype(spec.dtype)
        array = fitting[0].reshape(tuple(int(size) for size in spec.shape)) if fitting and dtype.kind == fitting[0].dtype.kind else np.zeros(())
        fed[spec.name] = np.broadcast_to(array.astype(dtype), tuple(int(size) for size in spec.shape))
    return fed


def main() -> None:
    """Does the job; what was done before a file ended the process stays written."""
    job = json.loads(Path(sys.argv[1]).read_text())
    if "latency" in job:
        Path(job["answer"]).write_text(json.dumps(latencies_ms([Path(path) for path in job["latency"]], Path(job["samples"]))))
        return
    bench = Bench(job)
    for file in job["files"]:
        Path(job["current"]).write_text(file["file"])
        try:
            answer = bench.evaluate(Path(file["file"]), Path(file["float"]), Path(file["outputs"]), common=file["common"])
        except BridgeError as error:
            answer = {"error": f"the file does not run: {error}"[:400]}
        Path(file["answer"]).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
