"""How the quick rankings agree with that by a trial for each node, and what each costs.

    uv run python tests/bench/bench_sensitivity.py WORK DATA MODEL.onnx... [--samples N]

DATA holds a folder per model, named like its file, with calibration.npz and evaluation.npz. The model is converted once; then every method ranks its nodes,
with an empty cache. Prints one JSON object per model. `spearman`: rank correlation of the figure of each method with that of `one-quantized`, over the nodes
that both have; `one-float` by what float gains. `top5`: how many of the five worst nodes of `one-quantized` are among the five worst. `seconds`: of the
ranking alone. `within_3_db`: share of the nodes whose predicted figure is no further than that from the measured one.
"""

import argparse
import json
import math
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from scipy.stats import spearmanr

from bridge.preparing import Request
from bridge.progress import Silent, Stages
from bridge.tune.ranking import METHODS, Ranking, rank, ranked
from bridge.tune.session import open_session

REFERENCE, TOP = "one-quantized", 5


def values(ranking: Ranking, method: str) -> dict[str, float]:
    """Candidate -> figure; the higher, the less sensitive."""
    sign = 1.0 if METHODS[method].lowest_first else -1.0
    found = {name: getattr(one, METHODS[method].figure) for name, one in ranking.figures.items()}
    return {name: sign * value for name, value in found.items() if value is not None and not math.isnan(value)}


def compared(rankings: Mapping[str, Ranking], method: str) -> dict[str, object]:
    """How a method agrees with the reference."""
    theirs, mine = values(rankings[REFERENCE], REFERENCE), values(rankings[method], method)
    both = [name for name in theirs if name in mine]
    worst = [set(ranked(both, rankings[one].figures, METHODS[one])[:TOP]) for one in (REFERENCE, method)]
    found: dict[str, object] = {
        "nodes": len(both),
        "spearman": round(float(spearmanr([theirs[name] for name in both], [mine[name] for name in both]).statistic), 3),
        "top5": len(worst[0] & worst[1]),
    }
    if method == "propagation":
        found["within_3_db"] = round(sum(abs(theirs[name] - mine[name]) <= 3.0 for name in both) / len(both), 3)
    return found


def measured(model: Path, data: Path, work: Path, samples: int | None) -> dict[str, object]:
    """All methods on one model."""
    folder = work / model.stem
    shutil.rmtree(folder, ignore_errors=True)
    request = Request(source=model, calibration=data / "calibration.npz", evaluation=data / "evaluation.npz", rules=())
    rankings, seconds = {}, {}
    with open_session(request, folder, workers=1, dask=None, stages=Stages(Silent())) as session:
        for method in METHODS:
            started = time.perf_counter()
            rankings[method] = rank(session, method=method, level="node", samples=samples)[1]
            seconds[method] = time.perf_counter() - started
    return {
        "model": model.stem,
        "methods": {
            method: {"runs": one.runs, "samples": one.samples, "seconds": round(seconds[method], 1)} | compared(rankings, method)
            for method, one in rankings.items()
        },
    }


def main() -> None:
    """Prints one line per model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--samples", type=int, help="of each method; without it what each takes by itself")
    options = parser.parse_args()
    for model in options.models:
        sys.stdout.write(json.dumps(measured(model, options.data / model.stem, options.work, options.samples)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
