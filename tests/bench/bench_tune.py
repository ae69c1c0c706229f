"""The smallest float set for a target, on trained models: figures of the result, and what random search finds in as many trials as it is given.

Run: python tests/bench/bench_tune.py WORK DATA MODEL.onnx ... [--target 'sqnr>=30'] [--choice float32] [--samples 64] [--random 500]

DATA/<stem>/ holds calibration.npz and evaluation.npz of each model. With `--random` the search meets chance: so many sets, in each of which a node is
float with a probability drawn anew for that set; of those that meet the target the one with the fewest float multiply-accumulates counts. Prints one
JSON line per model.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

import bridge
from bridge.preparing import Request
from bridge.progress import Silent, Stages
from bridge.tune.goal import Goal
from bridge.tune.noise import measure_noise
from bridge.tune.search import ROUNDS, Budget, Search
from bridge.tune.session import open_session
from bridge.tune.space import FLOAT, Space
from bridge.tune.surrogate import Surrogate
from bridge.tune.trial import Spec
from bridge.tune.tune import DEFAULT_CHOICES, DEFAULT_TRIALS


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
    return {
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


def against_random(model: Path, options: argparse.Namespace) -> dict[str, object]:
    """The search and as many random sets as are asked for, both from the ranges of min_max without accuracy recovery, all moved nodes float."""
    data = options.data / model.stem
    request = Request(source=model, calibration=data / "calibration.npz", evaluation=data / "evaluation.npz", rules=())
    goal = Goal(options.target)
    with open_session(request, options.work / f"{model.stem}-random", workers=1, dask=None, stages=Stages(Silent())) as session:
        setting = session.settings.observed("min_max", lambda _: None)
        lab = session.lab([setting], samples=options.samples or session.enough_samples)
        asked = session.settings.asked
        with session.settings.quantized(setting, asked) as quantized:
            noise = measure_noise(session.prepared.converted, quantized, session.prepared.data.evaluation, threads=2)
        owners = session.prepared.converted.tensor_map.owners
        space = Space(noise.graph, owners, asked, [op.precision for op in quantized.ops], choices=(FLOAT,))
        search = Search(lab, space, Surrogate(noise, space), goal, setting.name, Budget(DEFAULT_TRIALS))
        search.approach(ROUNDS)
        found = search.finish()
        rng = np.random.default_rng(options.seed)
        shares = []
        for _ in range(options.random):
            share = rng.uniform()
            chosen = {name: FLOAT for name in space.candidates if rng.random() < share}
            (trial,) = lab.measure([Spec(space.op_precisions(chosen), setting.name)])
            shares += [trial.float_mac_share] if goal.met(trial) else []
    return {
        "model": model.stem,
        "target": options.target,
        "candidates": len(space.candidates),
        "samples": lab.workload.facts.samples,
        "start_db": round(search.history[0].worst_db, 2),
        "met": found.met,
        "trials": len(search.history),
        "members": len(found.assignment),
        "float_mac_share": round(found.trial.float_mac_share, 4),
        "random_trials": options.random,
        "random_met": len(shares),
        "random_float_mac_share": round(min(shares), 4) if shares else None,
    }


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
        print(json.dumps((against_random if options.random else measure)(model, options)), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
