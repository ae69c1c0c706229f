"""The smallest float set for a target, on trained models: figures of the result, and what random search finds in as many trials as it is given.

Run: python tests/bench/bench_tune.py WORK DATA MODEL.onnx ... [--target 'sqnr>=30'] [--choice float32] [--samples 64] [--random 500]

DATA/<stem>/ holds calibration.npz and evaluation.npz of each model. `--random` draws so many sets: each node is float with a probability that is
drawn anew for each set; the one with the fewest float multiply-accumulates of those that meet the target counts. It gets the same ranges, corrections
and samples as the result. Prints one JSON line per model.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

import bridge
from bridge.tune.executors import open_executor
from bridge.tune.goal import Goal
from bridge.tune.lab import Lab
from bridge.tune.result import TuneReport
from bridge.tune.space import FLOAT
from bridge.tune.trial import Spec
from bridge.tune.tune import DEFAULT_CHOICES
from bridge.tune.workload import Workload


def measure(model: Path, options: argparse.Namespace) -> dict[str, object]:
    """One model."""
    data, folder = options.data / model.stem, options.work / model.stem
    started = time.perf_counter()
    result = bridge.tune(
        model,
        target=options.target,
        budgets=tuple(options.budget),
        calibration=data / "calibration.npz",
        evaluation=data / "evaluation.npz",
        choices=tuple(options.choice or DEFAULT_CHOICES),
        samples=options.samples,
        output_dir=folder,
    )
    report = result.report
    row = {
        "model": model.stem,
        "target": report.target,
        "met": report.met,
        "start_db": round(report.start.sqnr_db, 2),
        "best_db": round(report.best.sqnr_db, 2),
        "start_top1_drop": report.start.top1_drop,
        "best_top1_drop": report.best.top1_drop,
        "drops": report.best.drops,
        "members": len(report.members),
        "candidates": report.candidates,
        "float_mac_share": round(report.best.float_mac_share, 4),
        "size_ratio": round(report.best.size_ratio, 3),
        "bytes": report.best.quantized_bytes,
        "trials": report.trials.made,
        "further": report.trials.further,
        "samples": report.samples,
        "confirmed_on": report.confirmed_on,
        "observer": report.observer,
        "recovery": report.recovery,
        "seconds": round(time.perf_counter() - started, 1),
    }
    return row | (random_search(report, folder, options) if options.random else {})


def random_search(report: TuneReport, folder: Path, options: argparse.Namespace) -> dict[str, object]:
    """The cheapest of random sets in float, and the cheapest set of the search in the same measure."""
    workload, goal = Workload(folder / "trials" / "workload"), Goal(report.target)
    stored = json.loads((folder / "search.json").read_text())
    owners, base, names, setting = stored["owners"], stored["base"], stored["candidates"], stored["setting"]
    rng = np.random.default_rng(options.seed)
    shares, best = [], None
    with open_executor(workers=1) as executor:
        lab = Lab(workload, executor, folder / "trials" / "measured", threads=2)
        for _ in range(options.random):
            chosen = {name for name in names if rng.random() < rng.uniform()}
            asked = tuple(FLOAT if owner in chosen else one for owner, one in zip(owners, base, strict=True))
            (trial,) = lab.measure([Spec(asked, setting)])
            if goal.met(trial):
                shares.append(trial.float_mac_share)
                best = min(shares)
    return {"random_trials": options.random, "random_met": len(shares), "random_float_mac_share": best}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--target", default="sqnr>=30")
    parser.add_argument("--budget", action="append", default=[])
    parser.add_argument("--choice", action="append")
    parser.add_argument("--samples", type=int)
    parser.add_argument("--random", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for model in options.models:
        print(json.dumps(measure(model, options)), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
