"""Our full-integer files of the MLPerf Tiny models against the published ones: task metric, size, and operator by operator why a scale differs.

    uv run python tests/bench/bench_published_int8.py --shared ../shared/models [--models a,b] [--markdown table.md] [-- bridge options]

Both files get the same evaluation samples on the same kernels. Prints JSON. Options behind `--` go to `bridge convert` beside
`--rules all-int8 --input-dtype int8 --output-dtype int8`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bench_published_int8_scales import compared_operators, reasons
from bench_quantizers import exported
from bench_quantizers_source import Subject, open_shapes, samples_of

from bridge.calibrate.dataset import Dataset
from bridge.compare import OnnxRunner, metrics
from bridge.compare.bindings import bind_inputs
from bridge.compare.metrics import ErrorSums
from bridge.compare.outputs import candidate
from bridge.frontends import load
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter
from bridge.types import TensorSpec

# Model -> the published file of the same network (mlcommons/tiny, benchmark/training/*/trained_models).
PUBLISHED: Mapping[str, str] = MappingProxyType(
    {
        "mlt_resnet8_cifar10": "mlt_resnet8_int8_ref.tflite",
        "mlt_vww96": "mlt_vww96_int8_ref.tflite",
        "mlt_kws_dscnn": "mlt_kws_int8_ref.tflite",
        "mlt_ad01": "mlt_ad01_int8_ref.tflite",
    }
)
FULL_INTEGER = ("--rules", "all-int8", "--input-dtype", "int8", "--output-dtype", "int8", "--no-compare")


def measure(subject: Subject, published: Path, folder: Path, options: Sequence[str]) -> dict[str, object]:
    """Both files on the same samples, and their operators side by side."""
    shapes = [
        part for name, shape in open_shapes(subject.model, subject.calibration).items() for part in ("--input", f"{name}={'x'.join(map(str, shape))}")
    ]
    command = [sys.executable, "-m", "bridge", "convert", str(subject.model), "--calibration", str(subject.calibration), "-o", str(folder)]
    subprocess.run([*command, "--evaluation", str(subject.evaluation), *FULL_INTEGER, *shapes, *options], check=True, capture_output=True)
    (ours,) = folder.glob("*.static_wi8_ai8.tflite")
    (float_file,) = folder.glob("*.float32.tflite")
    figures = {name: evaluate(subject, path) for name, path in (("published", published), ("ours", ours), ("float", float_file))}
    pairs = compared_operators(tflite.read(published), tflite.read(ours), tflite.read(float_file))
    return {
        "model": subject.name,
        "published": figures["published"],
        "ours": figures["ours"],
        "float": figures["float"],
        "size_ratio": figures["ours"]["bytes"] / figures["published"]["bytes"],
        "operators": reasons(pairs, float_file, _samples(subject, subject.calibration), _samples(subject, subject.evaluation)),
    }


def evaluate(subject: Subject, path: Path) -> dict[str, float]:
    """Size of a file, its SQNR against onnxruntime, its accuracy where the samples have labels."""
    samples = _samples(subject, subject.evaluation)
    reference = OnnxRunner(load(subject.model, input_shapes=open_shapes(subject.model, subject.calibration)).proto, intermediates=False)
    model = tflite.read(path)
    opened, interpreter = candidate(path, bind_inputs(samples[0], model, where=str(path))), Interpreter(path)
    (form,), sums, right, found = opened.forms, ErrorSums(), 0, 0
    for position in range(len(samples)):
        sample = samples[position]
        (expected,) = reference.run(sample, reference.outputs).values()
        (stored,) = interpreter.run(opened.feeder(sample))
        sums.add(expected.reshape(stored.shape), stored, form)
        if samples.labels is not None:
            right += int(stored.argmax() == samples.labels[position])
            found += 1
    return {"bytes": path.stat().st_size, "sqnr_db": metrics.sqnr_db(sums)} | ({"top1": right / found} if found else {})


def _samples(subject: Subject, path: Path) -> Dataset:
    shapes = open_shapes(subject.model, subject.calibration)
    runner = OnnxRunner(load(subject.model, input_shapes=shapes).proto, intermediates=False)
    return samples_of(path, [TensorSpec(spec.name, shapes.get(spec.name, spec.shape), spec.dtype) for spec in runner.inputs])


def markdown(results: Sequence[Mapping[str, Any]]) -> str:
    """One table of figures, one of operators per model."""
    lines = [
        "| model | metric | float | published | ours | SQNR dB published | SQNR dB ours | bytes published | bytes ours | size |",
        "|" + "---|" * 10,
    ]
    for one in results:
        name = "top1" if "top1" in one["ours"] else "sqnr_db"
        scores = " | ".join(f"{one[side][name]:.4f}" for side in ("float", "published", "ours"))
        errors = " | ".join(f"{one[side]['sqnr_db']:.2f}" for side in ("published", "ours"))
        sizes = " | ".join(str(one[side]["bytes"]) for side in ("published", "ours"))
        lines.append(f"| {one['model']} | {name} | {scores} | {errors} | {sizes} | {100 * (one['size_ratio'] - 1):+.1f} % |")
    for one in results:
        lines += ["", f"**{one['model']}**", "", "| operator | tensor | published | ours | why |", "|---|---|---|---|---|"]
        lines += [f"| {row['operator']} | {row['tensor']} | {row['published']} | {row['ours']} | {row['why']} |" for row in one["operators"]]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Reads the arguments, measures model by model, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--models", default=",".join(PUBLISHED))
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/bridge-bench"))
    parser.add_argument("--markdown", type=Path, help="also write tables")
    parser.add_argument("options", nargs="*", help="for bridge convert")
    arguments = parser.parse_args()
    results = []
    for subject in exported(arguments.shared, arguments.models.split(","), arguments.cache.expanduser()):
        with tempfile.TemporaryDirectory() as folder:
            published = arguments.shared / "models" / PUBLISHED[subject.name]
            results.append(measure(subject, published, Path(folder) / "out", arguments.options))
    if arguments.markdown is not None:
        arguments.markdown.write_text(markdown(results))
    json.dump(results, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
