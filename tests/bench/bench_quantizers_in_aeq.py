"""Runs inside the environment of AI Edge Quantizer: one float file and its calibration samples in, one quantized file per setting out.

    python bench_quantizers_in_aeq.py JOB.json

The job names the float file, the samples (one array per input of the file, in its layout, leading axis = samples), and the settings with
their output files. The answer is one JSON object: setting -> seconds or the error.
"""

import copy
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from ai_edge_quantizer import algorithm_manager, calibrator, quantizer, recipe
from ai_edge_quantizer.utils import qsv_utils

THREADS = 2
PRODUCTS = (
    "FULLY_CONNECTED",
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "CONV_2D_TRANSPOSE",
)  # the algorithms know EMBEDDING_LOOKUP too, but not in static_wi8_ai8
ALGORITHMS = {name.name.lower(): name for name in algorithm_manager.AlgorithmName}
# Update functions by the name that a setting gives its ranges; GPTQ and OSCAR collect more than ranges and bring their own.
UPDATES: dict[str, Callable[..., object] | None] = {"moving-average": None, "min-max": qsv_utils.min_max_update}


def recipe_of(setting: str) -> list[object]:
    """`octav`: that algorithm alone, so what it does not know stays float; `min_max+octav`: the later one where it knows the operator."""
    rules: list[object] = []
    for name in setting.split("+"):
        key = ALGORITHMS["min_max_uniform_quant" if name == "min_max" else name]
        if not rules:
            rules += recipe.static_wi8_ai8(algorithm_key=key)
            continue
        base = recipe.static_wi8_ai8(algorithm_key=key)[0]
        rules += [{**base, "operation": op} for op in algorithm_manager.get_supported_ops(key) if op.name in PRODUCTS]
    return rules


def samples(path: Path) -> Iterator[dict[str, np.ndarray]]:
    """One set of inputs at a time."""
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    for row in zip(*arrays.values(), strict=True):
        yield dict(zip(arrays, row, strict=True))


def calibrated(job: dict[str, str], rules: list[object], ranges: str) -> object:
    """What the tool's own calibrator finds."""
    tool = quantizer.Quantizer(job["float"], rules)
    update = UPDATES[ranges]
    extra = {} if update is None else {"qsv_update_func": update}
    runner = calibrator.Calibrator(Path(job["float"]).read_bytes(), num_threads=THREADS, **extra)
    key = runner.get_signature_list() or {None: None}
    runner.calibrate({next(iter(key)): list(samples(Path(job["samples"])))}, tool._recipe_manager)  # a list: the tool counts the samples first
    return runner.get_model_qsvs()


def family(algorithm: str) -> str:
    """Settings of one family calibrate in the same way."""
    return "all" if algorithm in ("min_max", "octav", "min_max+octav", "min_max+mse") else algorithm


def main() -> None:
    """Works through the settings of the job."""
    job = json.loads(Path(sys.argv[1]).read_text())
    answer: dict[str, object] = {}
    ranges_of: dict[tuple[str, str], tuple[float, object]] = {}
    for setting, output in job["settings"].items():
        algorithm, ranges = setting.split(", ranges ")
        key = (family(algorithm), ranges)
        try:
            rules = recipe_of(algorithm)
            if key not in ranges_of:
                started = time.perf_counter()
                found = calibrated(job, rules, ranges)
                ranges_of[key] = time.perf_counter() - started, found
            seconds, found = ranges_of[key]
            started = time.perf_counter()
            quantizer.Quantizer(job["float"], rules).quantize(copy.deepcopy(found)).export_model(output, overwrite=True)
            answer[setting] = {"seconds": seconds + time.perf_counter() - started}
        except Exception as error:  # noqa: BLE001  # whatever the tool raises is its answer for this setting
            answer[setting] = {"error": f"{type(error).__name__}: {error}"[:400]}
        Path(job["answer"]).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
