"""What a conversion costs as models grow: start, stages, memory, and straight lines through them; prints JSON.

    uv run python tests/bench/bench_scale.py [--nodes 20,200,2000] [--megabytes 1,10,100] [--samples 32,128,512] [--rounds 3] [--markdown table.md]

Seconds are processor time (user and system) of our own process with one thread; onnx2tf's process, the inferences of onnxruntime and LiteRT, and what they
take to open models and to let go of them are told apart, and so is `imports_s`, what passes before the conversion begins: the start of Python, the imports of the command line and
of the stages. Each conversion is a process of its own, the figures are those of the round with the smallest sum. The bound of the design is 1 s + 10 ms per MB
of float weights + 1 ms per node for `imports_and_own_s`, and 2.5 times the float file + 200 MB for `peak_mb`.

`fits` are least squares; `exponent` is the slope between the last two sizes on logarithmic axes, behind the intercept: 1 is linear, 2 is quadratic.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from bench_calibration import generated
from bench_calibration import measure as measure_calibration
from scale_models import model_of_megabytes, model_of_nodes

HERE = Path(__file__).resolve().parent
MIDDLE = 200  # nodes of the model that samples are varied with
STARTS = {
    "bridge --help": ("-m", "bridge", "--help"),
    "bridge --version": ("-m", "bridge", "--version"),
    "import bridge": ("-c", "import bridge"),
    "import bridge.pipeline": ("-c", "import bridge.pipeline"),
}
ONE_THREAD = {"OMP_NUM_THREADS": "1"}

type Row = dict[str, float]


def processor_s(command: Sequence[str]) -> float:
    """User and system time of a command and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def cold_starts(tiny: Path, rounds: int) -> dict[str, float]:
    """Seconds of each way to start, the smallest of at least five."""
    commands = {**STARTS, "bridge inspect (20 nodes)": ("-m", "bridge", "inspect", str(tiny))}
    return {name: round(min(processor_s([sys.executable, *words]) for _ in range(max(5, rounds))), 3) for name, words in commands.items()}


def converted(model: Path, rounds: int, **options: object) -> dict[str, object]:
    """Figures of one model: those of the round with the smallest time of our own."""
    runs = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            command = [sys.executable, str(HERE / "scale_run.py"), str(model), str(Path(folder) / "out"), json.dumps(options)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, **ONE_THREAD})
            runs.append(json.loads(done.stdout))
    return dict(min(runs, key=lambda run: run["imports_and_own_s"]))


def fit(sizes: Sequence[float], values: Sequence[float]) -> dict[str, float]:
    """Of a straight line through the values."""
    x, y = np.asarray(sizes, np.float64), np.asarray(values, np.float64)
    slope, intercept = np.polyfit(x, y, 1)
    spread = float(np.square(y - y.mean()).sum())
    left = y - slope * x - intercept
    exponent = np.log((y[-1] - y[0]) / (y[-2] - y[0])) / np.log((x[-1] - x[0]) / (x[-2] - x[0])) if len(x) > 2 and y[-2] > y[0] else float("nan")
    return {
        "slope": float(f"{slope:.4g}"),
        "intercept": round(float(intercept), 3),
        "r2": round(1.0 - float(np.square(left).sum()) / spread, 4) if spread else 1.0,
        "worst_residual": round(float(np.abs(left).max()), 3),
        "exponent": round(float(exponent), 2),
    }


def two_threads(folder: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Wall seconds of stages with one and with two threads, taking turns, on a file whose inferences are most of the work."""
    model = generated(folder / "convolutions.tflite")
    np.savez(folder / "convolutions.npz", x=np.random.default_rng(0).standard_normal((96, 56, 56, 48), np.float32))
    seconds: dict[int, list[dict[str, float]]] = {1: [], 2: []}
    for turn in range(rounds):
        for threads, runs in seconds.items():
            output = folder / f"threads{threads}-{turn}"
            command = [sys.executable, "-m", "bridge", "convert", str(model), "--calibration", str(folder / "convolutions.npz"), "-o", str(output)]
            subprocess.run([*command, "--threads", str(threads)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            runs.append(json.loads((output / "report.json").read_text())["timing_s"])
    stages = ("calibrate", "measure for rules", "recover", "compare")
    found = {}
    for stage in stages:
        one, two = (min(run[stage] for run in seconds[threads]) for threads in (1, 2))
        found[stage] = {"one_s": round(one, 2), "two_s": round(two, 2), "ratio": round(one / two, 2)}
    return found


def measure(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Everything."""
    node_counts, sizes, counts = ([float(one) for one in text.split(",") if one] for text in (options.nodes, options.megabytes, options.samples))
    result: dict[str, object] = {"cold_start_s": cold_starts(model_of_nodes(20, folder, samples=8), options.rounds)}
    series = {
        "nodes": [(count, converted(model_of_nodes(int(count), folder, samples=32), options.rounds)) for count in node_counts],
        "megabytes": [(size, converted(model_of_megabytes(size, folder, samples=32), options.rounds)) for size in sizes],
        "samples": [(count, converted(model_of_nodes(MIDDLE, folder, samples=int(count)), options.rounds)) for count in counts],
    }
    for name, rows in series.items():
        result[name] = [
            {name: size, **row, **_bounds(row, nodes=size if name == "nodes" else (40 if name == "megabytes" else MIDDLE))} for size, row in rows
        ]
    result["fits"] = {
        f"{figure} by {name}": fit([size for size, _ in rows], [float(str(row[figure])) for _, row in rows])
        for name, rows in series.items()
        for figure in ("own_s", "onnx2tf_s", "peak_mb")
        if len(rows) > 1 and (name, figure) != ("samples", "onnx2tf_s")
    }
    result["calibration"] = measure_calibration(generated(folder / "calibrated.tflite"), [], samples=60, threads=2, rounds=max(3, options.rounds))
    result["two_threads"] = two_threads(folder, options.rounds)
    return result


def _bounds(row: dict[str, object], *, nodes: float) -> Row:
    size = float(str(row["float_mb"]))
    return {"own_bound_s": round(1.0 + 0.01 * size + 0.001 * nodes, 2), "peak_bound_mb": round(2.5 * size + 200)}


def markdown(result: dict[str, object]) -> str:
    """The series and the fits as tables."""
    lines = []
    for name in ("nodes", "megabytes", "samples"):
        figures = ("imports_s", "own_s", "imports_and_own_s", "own_bound_s", "opening_s", "inference_s", "onnx2tf_s", "peak_mb", "peak_bound_mb")
        lines += [f"| {name} | {' | '.join(figures)} |", "|---" * (len(figures) + 1) + "|"]
        lines += [f"| {row[name]:g} | {' | '.join(str(row[figure]) for figure in figures)} |" for row in result[name]]  # type: ignore[attr-defined]
        lines.append("")
    lines += ["| fit | slope | intercept | R2 | worst residual | exponent |", "|---|---|---|---|---|---|"]
    lines += [f"| {name} | {' | '.join(str(value) for value in one.values())} |" for name, one in result["fits"].items()]  # type: ignore[attr-defined]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", default="20,200,2000")
    parser.add_argument("--megabytes", default="1,10,100")
    parser.add_argument("--samples", default="32,128,512")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        result = measure(options, Path(folder))
    result["bench_s"] = round(time.perf_counter() - started)
    if options.markdown is not None:
        options.markdown.write_text(markdown(result))
    json.dump(result, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
