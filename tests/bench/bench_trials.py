"""Trials per second in one process, in two, and on the workers of a Dask cluster, each with an empty cache.

    uv run --extra distributed python tests/bench/bench_trials.py WORK DATA MODEL.onnx... [--trials 60] [--samples 64] [--workers 2]

DATA holds a folder per model, named like its file, with calibration.npz and evaluation.npz. A trial asks float32 of a tenth of the operators, drawn at
random, and int8 of the others. Prints one JSON object per model. `write_s`: the workload, once per model. `start_s`: the first few trials, with starting
processes, loading runtimes and sending the workload. `trials_per_s`: of all the others. `equal`: whether all ways gave the same figures. `cpu_ms`:
processor time of one trial in this process, and of its part that makes the file.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np

from bridge import quantize
from bridge.preparing import Request, prepare
from bridge.progress import Silent, Stages
from bridge.tflite import model as tflite
from bridge.tune.executors import open_executor
from bridge.tune.lab import Lab
from bridge.tune.settings import Setting
from bridge.tune.trial import Spec, Trial, run_trial
from bridge.tune.workload import Workload

INT8, FLOAT, MIN_MAX = "static_wi8_ai8", "float32", "min_max"
STARTING = 8  # trials until every worker has loaded everything
DASK = (sys.executable, "-m", "dask")


class Cluster:
    """A Dask scheduler and its workers, one thread each, as processes of their own."""

    def __init__(self, folder: Path, workers: int) -> None:
        self._file, self._log = folder / "scheduler.json", (folder / "dask.log").open("wb")
        known = ("--no-dashboard", "--scheduler-file", str(self._file))
        one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
        commands = [[*DASK, "scheduler", "--port", "0", "--host", "127.0.0.1", *known]]
        commands += [[*DASK, "worker", "--nthreads", "1", "--local-directory", str(folder / f"worker-{one}"), *known] for one in range(workers)]
        self._running = [subprocess.Popen(command, env=one_thread, stdout=self._log, stderr=self._log) for command in commands]
        self._workers = workers

    def __enter__(self) -> str:
        """The scheduler's address, when all workers are there."""
        from distributed import Client

        while not self._file.exists():
            time.sleep(0.05)
        with Client(scheduler_file=str(self._file), set_as_default=False) as client:
            client.wait_for_workers(self._workers, timeout=60)
            return str(client.scheduler.address)

    def __exit__(self, *_: object) -> None:
        """Ends them."""
        for process in reversed(self._running):
            process.terminate()
        for process in self._running:
            process.wait()
        self._log.close()


def timed(
    workload: Workload, specs: Sequence[Spec], cache: Path, *, workers: int = 1, dask: str | None = None
) -> tuple[dict[str, float], list[Trial]]:
    """The rates of one way to run, and the trials."""
    started = time.perf_counter()
    with open_executor(workers=workers, dask=dask) as executor:
        lab = Lab(workload, executor, cache)
        first = lab.measure(specs[:STARTING])
        begun = time.perf_counter()
        rest = lab.measure(specs[STARTING:])
        ended = time.perf_counter()
    return {"start_s": round(begun - started, 2), "trials_per_s": round(len(rest) / (ended - begun), 2)}, first + rest


def cpu_ms(workload: Workload, specs: Sequence[Spec]) -> dict[str, float]:
    """Medians of some trials."""
    setting = workload.setting(MIN_MAX)
    taken: dict[str, list[float]] = {"trial": [], "quantize": []}
    for spec in specs[:5]:
        begin = time.process_time()
        run_trial(workload.folder, spec)
        taken["trial"].append(time.process_time() - begin)
        begin = time.process_time()
        model, _ = quantize.quantize_graph(workload.graph, where="", ranges=setting.ranges, op_precisions=spec.op_precisions)
        tflite.serialize(model)
        taken["quantize"].append(time.process_time() - begin)
    return {name: round(median(one) * 1e3, 1) for name, one in taken.items()}


def measure(model: Path, data: Path, folder: Path, args: argparse.Namespace) -> dict[str, object]:
    """Everything about one model."""
    request = Request(source=model, calibration=data / "calibration.npz", evaluation=data / "evaluation.npz")
    prepared = prepare(request, folder, folder / "onnx2tf.log", Stages(Silent()))
    begin = time.perf_counter()
    workload = Workload.write(folder / "workload", prepared, [Setting(MIN_MAX, prepared.ranges)], request=request, samples=args.samples)
    write_s = time.perf_counter() - begin
    operators = len(prepared.converted.tensor_map.owners)
    rng = np.random.default_rng(0)
    drawn = [frozenset(rng.choice(operators, max(2, operators // 10), replace=False).tolist()) for _ in range(args.trials)]
    specs = [Spec(tuple(FLOAT if place in one else INT8 for place in range(operators)), MIN_MAX) for one in dict.fromkeys(drawn)]
    ways, found = {}, []
    ways["1 process"], trials = timed(workload, specs, folder / "one")
    found.append(trials)
    ways[f"{args.workers} processes"], trials = timed(workload, specs, folder / "several", workers=args.workers)
    found.append(trials)
    with Cluster(folder, args.workers) as address:
        ways[f"{args.workers} Dask workers"], trials = timed(workload, specs, folder / "dask", dask=address)
    found.append(trials)
    return {
        "model": model.name,
        "operators": operators,
        "samples": workload.facts.samples,
        "trials": len(specs),
        "write_s": round(write_s, 2),
        "cpu_ms": cpu_ms(workload, specs),
        "ways": ways,
        "equal": all(one == found[0] for one in found),
    }


def main() -> None:
    """Runs every model."""
    parser = argparse.ArgumentParser()
    parser.add_argument("work", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    for model in args.models:
        with tempfile.TemporaryDirectory(dir=args.work) as folder:
            print(json.dumps(measure(model, args.data / model.stem, Path(folder), args)), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
