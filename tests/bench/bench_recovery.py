"""Every method of accuracy recovery alone and together: output SQNR on evaluation data, and seconds.

    uv run python tests/bench/bench_recovery.py WORK_FOLDER DATA_FOLDER MODEL.onnx... [--rules all-int8 --rules default]

DATA_FOLDER holds `<model>/calibration.npz` and `<model>/evaluation.npz`. Each model is converted and calibrated once, into WORK_FOLDER; each
line printed is one JSON object. Lines that `WORK_FOLDER/recovery.jsonl` has already are not measured again.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx

import bridge
from bridge import frontends, graph, quantize, recover
from bridge import rules as rules_stage
from bridge.calibrate import Dataset, calibrate, from_arrays, read_ranges
from bridge.convert.tensor_map_file import read_tensor_map
from bridge.decisions import measured, op_precisions
from bridge.files import digest
from bridge.recover.batches import Runner, joined
from bridge.recover.score import score
from bridge.recovery_names import RECOVERY_NAMES
from bridge.tflite.feeds import feed
from bridge.types import ConvertedModel, InputBinding, Ranges, TensorSpec

EVALUATED = 256  # samples
SETS: Mapping[str, tuple[str, ...]] = {
    "none": (),
    **{name: (name,) for name in RECOVERY_NAMES},
    "default": ("range_search", "bias_correction"),
    "without_equalization": RECOVERY_NAMES[1:],
    "all": RECOVERY_NAMES,
}


def shapes(model: Path, arrays: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    """Sizes for inputs with symbolic ones, as the samples have them."""
    found = {}
    for value in onnx.load(model, load_external_data=False).graph.input:
        sizes = [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        if value.name in arrays and 0 in sizes:
            one = arrays[value.name].shape[1:]
            found[value.name] = one if len(one) == len(sizes) else (1, *one)
    return found


def dataset(path: Path, bindings: Sequence[InputBinding]) -> Dataset:
    """Samples of a file in the model's shapes."""
    arrays = dict(np.load(path))
    return from_arrays(arrays, [TensorSpec(one.onnx_name, one.onnx_shape, arrays[one.onnx_name].dtype.name) for one in bindings])


def measure(folder: Path, model: Path, data: Path, rules: str, precision: str, methods: Sequence[str]) -> dict[str, object]:
    """One line of the table."""
    stem = model.stem
    fixed = shapes(model, np.load(data / "calibration.npz"))
    normal = graph.normalize(frontends.load(model, input_shapes=fixed), input_shapes=fixed)
    source = folder / stem / f"{stem}.float32.tflite"
    tensor_map = read_tensor_map(folder / stem / "tensor_map.json")
    known = read_ranges(folder / stem / "ranges.json", model_sha256=digest(source))
    decisions = rules_stage.apply(rules_stage.load([rules]), measured(normal.nodes, known, tensor_map), default_precision=precision).decisions
    asked = op_precisions(tensor_map, decisions, precision)
    samples, evaluation = dataset(data / "calibration.npz", tensor_map.inputs), dataset(data / "evaluation.npz", tensor_map.inputs)
    started = time.perf_counter()
    path, outcomes = source, []
    ranges: Ranges | None = known
    if recover.EQUALIZATION in methods:
        path = folder / "equalized.tflite"
        path.write_bytes(source.read_bytes())
        before = ConvertedModel(path, digest(source), tensor_map, "")
        made, outcome = recover.equalize(before, samples, op_precisions=asked, precision=precision, threads=2)
        outcomes.append(outcome)
        if outcome.kept:
            ranges = calibrate(made.path, samples, tensor_map.inputs, threads=2, progress=lambda _: None)
    job = recover.Job(path, asked, precision, tensor_map.inputs, samples, threads=2)
    found = recover.recover(job, ranges, methods, ranges_given=False)
    seconds = time.perf_counter() - started
    quantized = quantize.quantize(
        path, folder / "quantized.tflite", ranges=found.ranges, op_precisions=asked, precision=precision, corrections=found.corrections
    )
    count = min(EVALUATED, len(evaluation))
    feeds = [feed(tensor_map.inputs, evaluation[position * len(evaluation) // count]) for position in range(count)]
    expected, received = (Runner(file.read_bytes(), threads=2).run(joined(feeds, 1)) for file in (source, quantized.path))
    floats = [place for place, value in enumerate(expected[0]) if value.dtype.kind == "f"]
    result = score([[one[at] for at in floats] for one in expected], [[one[at] for at in floats] for one in received])
    kept = [outcome.method for outcome in (*outcomes, *found.outcomes) if outcome.kept]
    return {"sqnr_db": round(result.mean_db, 2), "worst_db": round(float(result.each_db.min()), 2), "kept": kept, "seconds": round(seconds, 1)}


def main() -> None:
    """Measures what is missing, prints everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--rules", action="append")
    parser.add_argument("--precision", default="static_wi8_ai8")
    parser.add_argument("--methods", action="append", choices=tuple(SETS))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    lines = options.folder / "recovery.jsonl"
    known = [json.loads(line) for line in lines.read_text().splitlines()] if lines.exists() else []
    for model in options.models:
        data = options.data / model.stem
        if not (options.folder / model.stem / "ranges.json").exists():
            calibration = data / "calibration.npz"
            bridge.convert(
                model, calibration=calibration, evaluation=calibration, output_dir=options.folder / model.stem,
                input_shapes=shapes(model, np.load(calibration)), compare=False, recover=(),
            )  # fmt: skip
        for rules in options.rules or ["all-int8", "default"]:
            for name in options.methods or SETS:
                key = {"model": model.stem, "rules": rules, "precision": options.precision, "methods": name}
                line = next((one for one in known if key.items() <= one.items()), None)
                if line is None:
                    line = key | measure(options.folder, model, data, rules, options.precision, SETS[name])
                    with lines.open("a") as file:
                        file.write(json.dumps(line) + "\n")
                sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
