"""Task metrics of a conversion beside the scores of another program, for models that lie outside of the repository.

    uv run python tests/bench/bench_task_metrics.py --shared ../shared/models [--models a,b] [--samples 400]

Every model is converted with `--metric`. Then its quantized file runs in the LiteRT interpreter alone, the float model in onnxruntime, and the `samples.py` beside
the models scores both sets of outputs. Prints one JSON line per model: both scores of the report, both of `samples.py`, and their largest difference.
"""

import argparse
import importlib.util
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

import bridge

METRICS: dict[str, Any] = {
    "resnet20_cifar10": "top1",
    "mlt_kws_dscnn": "top1",
    "mobilenetv2_tf2_ptq_deq": "top1",
    "seg_espnetv2_s2_voc_256": "mean_iou",
    "sr_bsrn_x4": "psnr",
    "minilm_l6_sts_f16w": "spearman",
}
LUMA = np.array([65.481, 128.553, 24.966]) / 255  # ITU-R BT.601, of RGB in 0..255


@bridge.metric(unit="dB", needs_truth=True)
def psnr(reference: Mapping[str, np.ndarray], candidate: Mapping[str, np.ndarray], truth: np.ndarray) -> float:
    """As papers on super-resolution count: pictures of 8 bits, luma only, without the outermost 4 pixels."""
    del reference
    (output,) = candidate.values()
    picture = np.clip(np.round(output[0].astype(np.float64) * 255), 0, 255).transpose(1, 2, 0)
    error = ((picture - truth) @ LUMA)[4:-4, 4:-4]
    return float(10 * np.log10(255**2 / np.mean(error**2)))


def measure(name: str, shared: Path, samples_py: ModuleType, count: int, folder: Path) -> dict[str, object]:
    """One model."""
    samples = samples_py.load(name)
    inputs = {key: value[:count] for key, value in samples.evaluation.items()}
    truth = np.asarray(samples._truth)
    truth = np.repeat(truth, 2)[:count] if METRICS[name] == "spearman" else truth[:count]
    np.savez(folder / "calibration.npz", **{key: value[:100] for key, value in samples.calibration.items()})
    np.savez(folder / "evaluation.npz", truth=truth, **inputs)
    asked = psnr if METRICS[name] == "psnr" else METRICS[name]
    start = time.perf_counter()
    result = bridge.convert(
        shared / "models" / f"{name}.onnx",
        calibration=folder / "calibration.npz",
        evaluation=folder / "evaluation.npz",
        metrics=[asked],
        layer_samples=1,
        output_dir=folder / "out",
    )
    seconds = time.perf_counter() - start
    (found,) = result.report.task_metrics
    expected = samples.score(samples_py.run_float(name, inputs))
    quantized = samples.score({result.report.outputs[0].name: run(result.artifacts["static_wi8_ai8"], result.report, inputs)})
    return {
        "model": name,
        "metric": found.name,
        "samples": found.samples,
        "float": found.float_value,
        "float_elsewhere": expected,
        "quantized": found.value,
        "quantized_elsewhere": quantized,
        "largest_difference": max(abs(found.float_value - expected), abs(found.value - quantized)),
        "seconds": round(seconds, 1),
    }


def run(path: Path, report: bridge.Report, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """The one output of the file for every sample, [N, *shape in the source model]."""
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    places = {detail["name"]: detail["index"] for detail in interpreter.get_input_details()}
    (given,) = interpreter.get_output_details()
    (output,) = report.outputs
    rows = []
    for position in range(len(next(iter(inputs.values())))):
        for one in report.inputs:
            interpreter.set_tensor(places[one.tflite_name], inputs[one.name][position].reshape(one.shape).transpose(one.permutation))
        interpreter.invoke()
        rows.append(interpreter.get_tensor(given["index"]).transpose(output.permutation).reshape(output.shape))
    return np.stack(rows)


def main() -> None:
    """Prints a line per model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--models", default=",".join(METRICS))
    parser.add_argument("--samples", type=int, default=400)
    options = parser.parse_args()
    spec = importlib.util.spec_from_file_location("samples", options.shared / "samples.py")
    assert spec is not None
    assert spec.loader is not None
    samples_py = importlib.util.module_from_spec(spec)
    sys.modules["samples"] = samples_py  # its dataclasses look their module up
    spec.loader.exec_module(samples_py)
    for name in options.models.split(","):
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(name, options.shared, samples_py, options.samples, Path(folder))), flush=True)  # noqa: T201  # the result


if __name__ == "__main__":
    main()
