"""The whole comparison (conversion, inherited and own error of every layer, errors of the outputs) against plain inference; prints JSON.

    python tests/bench/bench_comparison.py MODEL.onnx FOLDER DATA.npz [MODEL FOLDER DATA ...] [--samples 32] [--memory 4096]

FOLDER is what `bridge convert` wrote. `needed_s` are the inferences that a comparison cannot do without, on the models as they are (onnxruntime with all
optimizations on): onnxruntime, the float and the int8 file for the outputs, the same three with their tensors, and the int8 operators once more on
reference inputs. Seconds are processor time of a process of its own, so that other load on the machine does not count; `peak_mb` is its largest
resident memory and `models_mb` what it takes with the three models open.
"""

import argparse
import functools
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bridge.compare import Compared, compare_files
from bridge.compare.forms import Feeder, feeder
from bridge.convert.tensor_map_file import read_tensor_map
from bridge.samples import find_sources, open_samples
from bridge.sources import open_model, open_reference
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter


def measure(model: Path, folder: Path, data: Path, *, samples: int, memory_mb: int) -> dict[str, object]:
    """Figures of one model."""
    report = json.loads((folder / "report.json").read_text())
    opened = open_model(model, input_shapes={spec["name"]: tuple(spec["shape"]) for spec in report["inputs"]})
    (source,) = find_sources(str(data), preprocess=None)
    found = open_samples(source, opened.graph)
    chosen = found.subset(range(min(samples, len(found))))
    reference, _ = open_reference(opened.reference, [chosen[0]], threads=2, intermediates=False)
    tensor_map = read_tensor_map(folder / "tensor_map.json")
    files = [folder / report["artifacts"][name] for name in ("float32", report["precision"])]
    fast, interpreters = reference.outputs_only(threads=2), [Interpreter(path, threads=2) for path in files]
    feeders = [feeder(tflite.read(path), tensor_map.inputs) for path in files]
    models_mb = _peak_mb()

    everything = [chosen[position] for position in range(len(chosen))]

    runs: list[Callable[[dict[str, np.ndarray]], object]] = [
        functools.partial(fast.run, tensors=fast.outputs),
        *(functools.partial(_fed, interpreter, feed) for interpreter, feed in zip(interpreters, feeders, strict=True)),
    ]
    onnx_s, float_s, int8_s = (min(_cpu_s(functools.partial(_each, run, everything)) for _ in range(3)) for run in runs)
    del runs, fast, interpreters
    subject = Compared(files[1], files[0], tensor_map)
    compared_s = _cpu_s(
        lambda: compare_files(reference, subject, chosen, layer_samples=samples, memory_mb=memory_mb, threads=2, progress=lambda _: None)
    )
    plain_s = onnx_s + float_s + int8_s
    needed_s = 2 * plain_s + int8_s
    return {
        "model": model.stem,
        "samples": len(chosen),
        "layers": len(tensor_map.pairs),
        "plain_s": round(plain_s, 3),
        "compared_s": round(compared_s, 3),
        "needed_s": round(needed_s, 3),
        "ratio": round(compared_s / needed_s, 2),
        "models_mb": round(models_mb),
        "peak_mb": round(_peak_mb()),
        "memory_mb": memory_mb,
    }


def _fed(interpreter: Interpreter, feed: Feeder, sample: dict[str, np.ndarray]) -> object:
    return interpreter.run(feed(sample))


def _each(run: Callable[[dict[str, np.ndarray]], object], samples: Sequence[dict[str, np.ndarray]]) -> None:
    for sample in samples:
        run(sample)


def _cpu_s(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Each model in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--memory", type=int, default=4096)
    options = parser.parse_args()
    if len(options.paths) == 3:
        sys.stdout.write(json.dumps(measure(*options.paths, samples=options.samples, memory_mb=options.memory)) + "\n")
        return
    for start in range(0, len(options.paths), 3):
        command = [
            sys.executable,
            __file__,
            *map(str, options.paths[start : start + 3]),
            "--samples",
            str(options.samples),
            "--memory",
            str(options.memory),
        ]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
