"""Quantizing a large float file in every precision: seconds and peak memory; prints JSON.

    python tests/bench/bench_quantize.py [--megabytes 100] [--rounds 3] [float.tflite]

Without a file it measures a generated one: convolutions, matrices and one large embedding table. Ranges are given, so nothing is calibrated. Every
precision runs in a process of its own; its peak memory includes Python and NumPy. Seconds are the smallest of the rounds. Each file is written in two
processes with different hash seeds, and its digests compared.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bridge.files import write_bytes
from bridge.quantize import PRECISIONS, quantize
from bridge.tflite import model as tflite
from bridge.types import Ranges, TensorRange

WIDTH, CHANNELS, SIDE, WORDS, WORD = 1024, 256, 8, 16384, 256


class Generator:
    """Appends layers until the weights are as large as asked for."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.model = tflite.new_model("bench")
        self.graph = tflite.main_graph(self.model)
        self.bytes = 0

    def constant(self, name: str, *shape: int) -> int:
        value = self.rng.standard_normal(shape, np.float32) / np.float32(np.sqrt(np.prod(shape[1:])))
        self.bytes += value.nbytes
        return tflite.add_tensor(self.model, self.graph, name, "FLOAT32", shape, buffer=tflite.add_buffer(self.model, value))

    def layer(self, op: str, inputs: list[int], name: str, shape: tuple[int, ...], options: str, **fields: object) -> int:
        output = tflite.add_tensor(self.model, self.graph, name, "FLOAT32", shape)
        operator = tflite.add_op(self.model, op, 1, inputs, [output])
        tflite.set_options(operator, options, **fields)
        self.graph.operators.append(operator)
        return output

    def save(self, path: Path, size: int) -> Path:
        image = tflite.add_tensor(self.model, self.graph, "image", "FLOAT32", (1, SIDE, SIDE, CHANNELS))
        word = tflite.add_tensor(self.model, self.graph, "word", "INT32", (1,))
        vector = tflite.add_tensor(self.model, self.graph, "vector", "FLOAT32", (1, WIDTH))
        self.graph.inputs = np.array([image, word, vector], np.int32)
        found = self.layer("GATHER", [self.constant("table", WORDS, WORD), word], "found", (1, WORD), "GatherOptions")
        count = 0
        while self.bytes < size:
            inputs = [image, self.constant(f"kernel{count}", CHANNELS, 3, 3, CHANNELS), self.constant(f"bias{count}", CHANNELS)]
            options = {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
            image = self.layer("CONV_2D", inputs, f"image{count}", (1, SIDE, SIDE, CHANNELS), "Conv2DOptions", **options)
            inputs = [vector, self.constant(f"matrix{count}", WIDTH, WIDTH), self.constant(f"offset{count}", WIDTH)]
            vector = self.layer("FULLY_CONNECTED", inputs, f"vector{count}", (1, WIDTH), "FullyConnectedOptions")
            count += 1
        self.graph.outputs = np.array([image, found, vector], np.int32)
        write_bytes(path, tflite.serialize(self.model))
        return path


def quantize_once(path: Path, output: Path, precision: str) -> dict[str, object]:
    """Seconds, digest and peak memory of this process."""
    model = tflite.read(path)
    graph = tflite.main_graph(model)
    names = [tflite.text(graph.tensors[index].name) for index in tflite.activations(model)]
    ranges = Ranges(dict.fromkeys(names, TensorRange(-4.0, 4.0)), 1, "bench", "")
    wanted = [precision] * len(graph.operators)
    del model, graph
    begin = time.perf_counter()
    made = quantize(path, output, ranges=ranges, op_precisions=wanted, precision=precision)
    seconds = time.perf_counter() - begin
    return {"seconds": seconds, "sha256": made.sha256, "peak": peak_bytes()}


def peak_bytes() -> int:
    """Largest resident memory of this program so far; getrusage would count what the parent had when it forked."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def measure(path: Path, folder: Path, precision: str, rounds: int) -> dict[str, object]:
    """Figures over all rounds, each in a new process."""
    runs = []
    for seed in range(max(2, rounds)):
        command = [sys.executable, __file__, str(path), "--one", precision, "--output", str(folder / "quantized.tflite")]
        done = subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": str(seed)}, check=True, capture_output=True, text=True)
        runs.append(json.loads(done.stdout))
    return {
        "precision": precision,
        "seconds": round(min(run["seconds"] for run in runs), 2),
        "peak_over_file": round(max(run["peak"] for run in runs) / path.stat().st_size, 2),
        "size_over_file": round((folder / "quantized.tflite").stat().st_size / path.stat().st_size, 3),
        "same_bytes": len({run["sha256"] for run in runs}) == 1,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", choices=PRECISIONS, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        json.dump(quantize_once(options.file, options.output, options.one), sys.stdout)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = options.file or Generator().save(Path(folder) / "generated.tflite", options.megabytes * 10**6)
        results = [measure(path, Path(folder), name, options.rounds) for name in PRECISIONS]
        json.dump({"file_bytes": path.stat().st_size, "precisions": results}, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
