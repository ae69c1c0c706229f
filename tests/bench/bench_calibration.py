"""Calibration against plain inference over the same samples with the same threads; prints JSON.

    python tests/bench/bench_calibration.py [float.tflite ...] [--samples 60] [--threads 2] [--rounds 5]

Without a file it measures a generated network of convolutions. Both sides run alternately; the figures are medians over the rounds.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from bridge import calibrate
from bridge.calibrate.dataset import Dataset
from bridge.files import write_bytes
from bridge.tflite import model as tflite
from bridge.tflite.feeds import feed
from bridge.tflite.interpreter import Interpreter
from bridge.types import InputBinding

CONV_LAYERS, CHANNELS, SIDE = 24, 48, 56


def generated(path: Path) -> Path:
    """A chain of 3x3 convolutions, [1, 56, 56, 48] everywhere."""
    from ai_edge_litert import schema_py_generated as schema

    rng = np.random.default_rng(0)
    model = tflite.new_model("bench")
    graph = tflite.main_graph(model)
    shape = (1, SIDE, SIDE, CHANNELS)
    last = tflite.add_tensor(model, graph, "x", "FLOAT32", shape)
    graph.inputs = np.array([last], np.int32)
    for layer in range(CONV_LAYERS):
        weights = (rng.standard_normal((CHANNELS, 3, 3, CHANNELS)) / math.sqrt(4.5 * CHANNELS)).astype(np.float32)
        kernel = tflite.add_tensor(model, graph, f"w{layer}", "FLOAT32", weights.shape, buffer=tflite.add_buffer(model, weights))
        bias = tflite.add_tensor(model, graph, f"b{layer}", "FLOAT32", (CHANNELS,), buffer=tflite.add_buffer(model, np.zeros(CHANNELS, np.float32)))
        output = tflite.add_tensor(model, graph, f"y{layer}", "FLOAT32", shape)
        op = tflite.add_op(model, "CONV_2D", 1, (last, kernel, bias), (output,))
        op.builtinOptionsType = schema.BuiltinOptions.Conv2DOptions
        op.builtinOptions = schema.Conv2DOptionsT()
        op.builtinOptions.strideH = op.builtinOptions.strideW = op.builtinOptions.dilationHFactor = op.builtinOptions.dilationWFactor = 1
        op.builtinOptions.fusedActivationFunction = schema.ActivationFunctionType.RELU
        graph.operators.append(op)
        last = output
    graph.outputs = np.array([last], np.int32)
    write_bytes(path, tflite.serialize(model))
    return path


def measure(path: Path, *, samples: int, threads: int, rounds: int) -> dict[str, object]:
    """Seconds of both ways over the same samples, and their ratio."""
    specs = Interpreter(path).inputs
    data = calibrate.synthetic(specs, seed=0, samples=samples)
    bindings = [InputBinding(spec.name, spec.name, tuple(map(int, spec.shape)), tuple(range(len(spec.shape))), spec.dtype) for spec in specs]
    plain_s, calibration_s = [], []
    for _ in range(rounds):
        plain_s.append(_plain(path, data, bindings, threads))
        begin = time.perf_counter()
        ranges = calibrate.calibrate(path, data, bindings, threads=threads, progress=lambda _: None)
        calibration_s.append(time.perf_counter() - begin)
    return {
        "model": path.name,
        "tensors": len(ranges.tensors),
        "samples": samples,
        "threads": threads,
        "plain_s": round(median(plain_s), 4),
        "calibration_s": round(median(calibration_s), 4),
        "ratio": round(median(calibration_s) / median(plain_s), 2),
        "ratio_of_minima": round(min(calibration_s) / min(plain_s), 2),
    }


def _plain(path: Path, data: Dataset, bindings: list[InputBinding], threads: int) -> float:
    """Loading included, as it is for calibration."""
    begin = time.perf_counter()
    runner = Interpreter(path, threads=threads)
    for sample in data:
        runner.run_views(feed(bindings, sample))
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--samples", type=int, default=60)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = options.files or [generated(Path(folder) / "generated.tflite")]
        results = [measure(path, samples=options.samples, threads=options.threads, rounds=options.rounds) for path in files]
    json.dump(results, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
