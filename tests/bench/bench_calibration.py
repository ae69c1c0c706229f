"""Calibration against plain inference over the same samples with the same threads; prints JSON.

    python tests/bench/bench_calibration.py [float.tflite ...] [--observer min_max ...] [--samples 60] [--threads 2] [--rounds 5]

Without a file it measures a generated network of convolutions. All sides run alternately; the figures are medians over the rounds. `of_min_max` is the
time of an observer over that of min_max.
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


def measure(path: Path, observers: list[str], *, samples: int, threads: int, rounds: int) -> dict[str, object]:
    """Seconds of plain inference and of each observer over the same samples, and their ratios."""
    specs = Interpreter(path).inputs
    data = calibrate.synthetic(specs, seed=0, samples=samples)
    bindings = [InputBinding(spec.name, spec.name, tuple(map(int, spec.shape)), tuple(range(len(spec.shape))), spec.dtype) for spec in specs]
    plain_s: list[float] = []
    calibration_s: dict[str, list[float]] = {name: [] for name in dict.fromkeys(["min_max", *observers])}
    for _ in range(rounds):
        plain_s.append(_plain(path, data, bindings, threads))
        for name, seconds in calibration_s.items():
            begin = time.perf_counter()
            ranges = calibrate.calibrate(path, data, bindings, observer=name, threads=threads, progress=lambda _: None)
            seconds.append(time.perf_counter() - begin)
    return {
        "model": path.name,
        "tensors": len(ranges.tensors),
        "samples": samples,
        "threads": threads,
        "plain_s": round(median(plain_s), 4),
        "observers": {
            name: {
                "calibration_s": round(median(seconds), 4),
                "ratio": round(median(seconds) / median(plain_s), 2),
                "ratio_of_minima": round(min(seconds) / min(plain_s), 2),
                "of_min_max": round(median(seconds) / median(calibration_s["min_max"]), 2),
            }
            for name, seconds in calibration_s.items()
        },
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
    parser.add_argument("--observer", action="append", default=[], help="repeat for more")
    parser.add_argument("--samples", type=int, default=60)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = options.files or [generated(Path(folder) / "generated.tflite")]
        results = [measure(path, options.observer, samples=options.samples, threads=options.threads, rounds=options.rounds) for path in files]
    json.dump(results, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
