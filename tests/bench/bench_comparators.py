"""Layer comparisons of other tools beside ours, on the same model and samples, each in a process of its own; prints JSON.

    python tests/bench/bench_comparators.py MODEL.onnx FOLDER DATA.npz [--keras MODEL.h5] [--samples 8]

FOLDER is what `bridge convert` wrote. `layers` is how many tensors or operators a tool gives a figure for, `what` which error that is. The time includes making what
the tool needs: the QDQ model of onnxruntime, the debug model of TensorFlow, the conversion of onnx2tf; for bridge the conversion is left out on the first line
and taken in on the second.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

type Job = argparse.Namespace


def samples_of(job: Job) -> list[dict[str, np.ndarray]]:
    """The first samples, each with the batch axis of the model."""
    import onnx

    names = {one.name: len(one.type.tensor_type.shape.dim) for one in onnx.load(job.model).graph.input}
    with np.load(job.data) as arrays:
        found = {name: arrays[name][: job.samples] for name in names if name in arrays}
    return [{name: value[at] if value[at].ndim == names[name] else value[at][None] for name, value in found.items()} for at in range(job.samples)]


def of_bridge(job: Job) -> tuple[int, str]:
    """The comparison of the files that are there."""
    import bridge

    report = json.loads((job.folder / "report.json").read_text())
    found = bridge.compare(
        job.model,
        job.folder / report["artifacts"][report["precision"]],
        data=_few(job),
        tensor_map=job.folder / "tensor_map.json",
        float_file=job.folder / report["artifacts"]["float32"],
        input_shapes={spec["name"]: tuple(spec["shape"]) for spec in report["inputs"]},
        layer_samples=job.samples,
    )
    return sum(layer.inherited_sqnr_db is not None for layer in found.layers), "conversion, inherited and own error of each, in the user's names"


def of_bridge_convert(job: Job) -> tuple[int, str]:
    """The same with the conversion, calibration and quantization in front."""
    import bridge

    report = json.loads((job.folder / "report.json").read_text())
    shapes = {spec["name"]: tuple(spec["shape"]) for spec in report["inputs"]}
    with tempfile.TemporaryDirectory() as folder:
        few = _few(job)
        found = bridge.convert(
            job.model, calibration=few, evaluation=few, input_shapes=shapes, output_dir=folder, layer_samples=job.samples, recover=()
        )
    return sum(layer.inherited_sqnr_db is not None for layer in found.report.layers), "the same, with conversion and quantization"


def of_onnxruntime(job: Job) -> tuple[int, str]:
    """qdq_loss_debug on a model that quantize_static made."""
    from onnxruntime.quantization import CalibrationDataReader, quantize_static
    from onnxruntime.quantization import qdq_loss_debug as debug

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime carries no types
        def __init__(self) -> None:
            self.rest: Iterator[Mapping[str, np.ndarray]] = iter(samples_of(job))

        def get_next(self) -> Mapping[str, np.ndarray] | None:
            return next(self.rest, None)

    with tempfile.TemporaryDirectory() as folder:
        quantized, shown = Path(folder) / "qdq.onnx", [Path(folder) / name for name in ("float.onnx", "int8.onnx")]
        quantize_static(job.model, quantized, Reader())
        for source, target in zip((job.model, quantized), shown, strict=True):
            debug.modify_model_output_intermediate_tensors(str(source), str(target))
        values = [debug.collect_activations(str(path), Reader()) for path in shown]
        errors = debug.compute_activation_error(debug.create_activation_matching(values[1], values[0]))
    return len(errors), "float and QDQ ONNX, end to end and per Q/DQ pair; no TFLite"


def of_tensorflow(job: Job) -> tuple[int, str]:
    """QuantizationDebugger on the Keras model."""
    import keras
    import tensorflow as tf

    few = samples_of(job)
    with tempfile.TemporaryDirectory() as folder:
        keras.models.load_model(job.keras, compile=False).export(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([next(iter(sample.values()))] for sample in few)
        debugger = tf.lite.experimental.QuantizationDebugger(
            converter=converter, debug_dataset=lambda: ([next(iter(sample.values()))] for sample in few)
        )
        debugger.run()
    return len(
        debugger.layer_statistics
    ), "own error of each operator against TensorFlow's float reference; no names of the model, no conversion error"


def of_onnx2tf(job: Job) -> tuple[int, str]:
    """-cotof: every ONNX output against the float TensorFlow model, on random data."""
    import shutil

    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(job.model, Path(folder) / "model.onnx")  # it rewrites its input
        command = [sys.executable, "-m", "onnx2tf", "-i", "model.onnx", "-o", "out", "-cotof", "-tb", "tf_converter", "-n"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError((done.stdout + done.stderr)[-300:])
    return done.stdout.count("validate_result"), "matched or not within 1e-4, float only, on its TensorFlow backend"


TOOLS: Mapping[str, Callable[[Job], tuple[int, str]]] = {
    "bridge compare": of_bridge,
    "bridge convert": of_bridge_convert,
    "onnxruntime qdq_loss_debug": of_onnxruntime,
    "TensorFlow QuantizationDebugger": of_tensorflow,
    "onnx2tf -cotof": of_onnx2tf,
}


def _few(job: Job) -> Any:
    import bridge

    with np.load(job.data) as arrays:
        return bridge.Calibration.from_arrays({name: value[: job.samples] for name, value in arrays.items()})


def main() -> None:
    """Each tool in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "folder", "data"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--keras", type=Path)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--tool", choices=TOOLS)
    job = parser.parse_args()
    if job.tool is None:
        for tool in TOOLS:
            if job.keras is not None or tool != "TensorFlow QuantizationDebugger":
                subprocess.run([sys.executable, __file__, *sys.argv[1:], "--tool", tool], check=False, stderr=subprocess.DEVNULL)
        return
    begin, cpu = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        layers, what = TOOLS[job.tool](job)
        found: dict[str, object] = {"layers": layers, "what": what}
    except Exception as error:  # noqa: BLE001  # whatever a tool raises is its result
        found = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = sum(one.ru_utime + one.ru_stime for one in used) - cpu.ru_utime - cpu.ru_stime
    peak = max(one.ru_maxrss for one in used) / 1024
    figures = {"cpu_s": round(seconds, 1), "wall_s": round(time.perf_counter() - begin, 1), "peak_mb": round(peak)}
    sys.stdout.write(json.dumps({"model": job.model.stem, "tool": job.tool, "samples": job.samples} | found | figures) + "\n")


if __name__ == "__main__":
    main()
