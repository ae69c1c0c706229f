"""Whole commands from an ONNX file to an int8 TFLite file: wall time, processor time and memory of `bridge convert` and of other ways; prints JSON.

    uv run python tests/bench/bench_commands.py --shared ../shared/models --models mlt_resnet8_cifar10,mlt_vww96 [--rounds 2] [--cache DIR] [--markdown table.md]

Everything counts from the start of the first process to the end of the last one. Processor time is that of all processes, memory the largest sum of
resident memory over the processes of the tree (looked at every 20 ms, so that short peaks can be missed). The ways take turns; each figure is the
smallest of the rounds. The other tools get the normalised model and calibration samples in its layout, so what it takes to come there is not on their
bill; litert-torch gets it as a PyTorch module with the same weights, where every operator has a PyTorch function in the script of that environment.
`bridge convert` is there five times: as it is, with accuracy recovery, the comparison of every layer on the evaluation samples and the report; with
`--no-recover`, without the first of these; both without evaluation samples, that is with what the other tools get, where every layer is compared on a
part of the calibration samples that is left out of calibration; and with `--no-compare --no-recover`, which does what the others do.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import onnx_ir as ir
import psutil
from bench_quantizers import exported
from bench_quantizers_source import Source, prepare
from bench_quantizers_tools import DIRECT, HERE, ROOT, TIMEOUT_S, environment, integer_options, last_error

LOOK_S = 0.02
AEQ_SETTING, TENSORFLOW_SETTING = "min_max, ranges min-max", "float fallback"
# The script of the other bench also converts a float file, which nobody asks for here.
TENSORFLOW = f"""
import json, sys
from pathlib import Path
sys.path.insert(0, {str(HERE)!r})
import bench_quantizers_in_tensorflow as bench
job = json.loads(Path(sys.argv[1]).read_text())
Path(job["output"]).write_bytes(bench.converted(job, {TENSORFLOW_SETTING!r}, bench.signature_names(job)))
"""

type Command = Sequence[str | Path]


def ours(*options: str, evaluated: bool = True) -> Callable[[Source, Path, Path], list[Command]]:
    """`bridge convert` on the user's file, with or without evaluation samples."""

    def commands(source: Source, folder: Path, cache: Path) -> list[Command]:
        del cache
        subject = source.subject
        shapes = [part for name, shape in source.input_shapes.items() for part in ("--input", f"{name}={'x'.join(map(str, shape))}")]
        data = ("--calibration", subject.calibration, *(("--evaluation", subject.evaluation) if evaluated else ()))
        return [(sys.executable, "-m", "bridge", "convert", subject.model, *data, "-o", folder / "out", *shapes, *options)]

    return commands


def onnx2tf(source: Source, folder: Path, cache: Path, *options: str, script: Command = ("-m", "onnx2tf")) -> Command:
    """onnx2tf on a private copy, since it may rewrite the file."""
    copy = folder / "source" / "model.onnx"
    copy.parent.mkdir(exist_ok=True)
    shutil.copyfile(source.onnx_file, copy)
    kept = ("-kat", *source.keep_inputs) if source.keep_inputs else ()
    return (environment(cache, "tensorflow"), *script, "-i", copy, "-o", folder / "onnx2tf", "-n", "-v", "error", *options, *kept)


def integers(source: Source, folder: Path, cache: Path) -> list[Command]:
    """onnx2tf's own quantization."""
    return [onnx2tf(source, folder, cache, *DIRECT, *integer_options(source))]


def edge_quantizer(source: Source, folder: Path, cache: Path) -> list[Command]:
    """onnx2tf's float file, calibrated and quantized by AI Edge Quantizer."""
    job = {"float": str(folder / "onnx2tf" / "model_float32.tflite"), "samples": str(source.samples), "answer": str(folder / "answer.json")}
    (folder / "job.json").write_text(json.dumps({**job, "settings": {AEQ_SETTING: str(folder / "int8.tflite")}}))
    return [onnx2tf(source, folder, cache, *DIRECT), (environment(cache, "aeq"), HERE / "bench_quantizers_in_aeq.py", folder / "job.json")]


def tensorflow(source: Source, folder: Path, cache: Path) -> list[Command]:
    """onnx2tf's SavedModel, converted by TFLiteConverter."""
    job = {"saved_model": str(folder / "onnx2tf"), "samples": str(source.samples), "output": str(folder / "int8.tflite")}
    (folder / "job.json").write_text(json.dumps(job))
    saved = onnx2tf(source, folder, cache, "-tb", "tf_converter", script=(HERE / "bench_quantizers_in_saved_model.py",))
    return [saved, (environment(cache, "tensorflow"), "-c", TENSORFLOW, folder / "job.json")]


def litert_torch(source: Source, folder: Path, cache: Path) -> list[Command]:
    """The network as a PyTorch module; to write its nodes and weights down is on nobody's bill."""
    graph = ir.load(source.onnx_file).graph
    constants = {name: value.const_value.numpy() for name, value in graph.initializers.items() if value.const_value is not None}
    np.savez(folder / "weights.npz", allow_pickle=False, **{name: value for name, value in constants.items() if value.dtype == np.float32})
    job = {
        "nodes": [_node(node, constants) for node in graph],
        "weights": str(folder / "weights.npz"),
        "input": graph.inputs[0].name,
        "output": graph.outputs[0].name,
        "shape": source.inputs[0].onnx_shape,
        "sample_name": source.inputs[0].onnx_name,
        "samples": str(source.subject.calibration),
        "file": str(folder / "int8.tflite"),
    }
    (folder / "job.json").write_text(json.dumps(job))
    return [(environment(cache, "litert-torch"), HERE / "bench_commands_in_litert_torch.py", folder / "job.json")]


def _node(node: ir.Node, constants: Mapping[str, np.ndarray]) -> dict[str, object]:
    """As JSON; integer constants, such as a shape, become options of the operator that reads them."""
    names = [str(value.name) for value in node.inputs if value is not None]
    options = {name: value.value for name, value in node.attributes.items() if not isinstance(value.value, bytes)}
    sizes = [constants[name].tolist() for name in names if name in constants and constants[name].dtype == np.int64]
    floats = [name for name in names if name not in constants or constants[name].dtype == np.float32]
    return {"op": node.op_type, "inputs": floats, "output": node.outputs[0].name, "options": options | ({"shape": sizes[0]} if sizes else {})}


WAYS: Mapping[str, tuple[Callable[[Source, Path, Path], list[Command]], str]] = MappingProxyType(
    {
        "bridge convert": (ours(), "out/*.static_wi8_ai8.tflite"),
        "bridge convert --no-recover": (ours("--no-recover"), "out/*.static_wi8_ai8.tflite"),
        "bridge convert, calibration samples alone": (ours(evaluated=False), "out/*.static_wi8_ai8.tflite"),
        "bridge convert --no-recover, calibration samples alone": (ours("--no-recover", evaluated=False), "out/*.static_wi8_ai8.tflite"),
        "bridge convert --no-compare --no-recover": (ours("--no-compare", "--no-recover"), "out/*.static_wi8_ai8.tflite"),
        "onnx2tf -oiqt": (integers, "onnx2tf/*_integer_quant.tflite"),
        "onnx2tf, AI Edge Quantizer": (edge_quantizer, "int8.tflite"),
        "onnx2tf, TFLiteConverter": (tensorflow, "int8.tflite"),
        "litert-torch": (litert_torch, "int8.tflite"),
    }
)


def run(commands: Sequence[Command], log: Path) -> dict[str, float | str]:
    """Figures of the commands one after the other; what is missing in the end is said by `error`."""
    before, started, peak = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter(), 0
    with log.open("wb") as file:
        for command in commands:
            process = subprocess.Popen(list(map(str, command)), stdout=file, stderr=subprocess.STDOUT, cwd=ROOT)
            while process.poll() is None:
                peak = max(peak, _resident(process.pid))
                if time.perf_counter() - started > TIMEOUT_S:
                    process.kill()
                time.sleep(LOOK_S)
            if process.returncode:
                return {"error": f"exit code {process.returncode}: {last_error(log)}"}
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": round(time.perf_counter() - started, 2), "cpu_s": round(processor, 2), "peak_mb": round(peak / 1e6)}


def _resident(pid: int) -> int:
    total = 0
    try:
        for process in (top := psutil.Process(pid), *top.children(recursive=True)):
            total += process.memory_info().rss
    except psutil.Error:  # it ended in between
        pass
    return total


def measure(source: Source, cache: Path, ways: Sequence[str], rounds: int) -> dict[str, dict[str, float | str]]:
    """Each way, in turn."""
    found: dict[str, list[dict[str, float | str]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name in ways:
            commands, product = WAYS[name]
            with tempfile.TemporaryDirectory(prefix="bench-") as place:
                folder = Path(place)
                one = run(commands(source, folder, cache), folder / "log")
                if "error" not in one and not any(folder.glob(product)):
                    one = {"error": f"no file: {last_error(folder / 'log')}"}
                found[name].append(one)
    return {name: _smallest(runs) for name, runs in found.items()}


def _smallest(runs: Sequence[dict[str, float | str]]) -> dict[str, float | str]:
    failed = next((one for one in runs if "error" in one), None)
    return failed or {figure: min(float(one[figure]) for one in runs) for figure in runs[0]}


def markdown(results: Mapping[str, Mapping[str, Mapping[str, float | str]]]) -> str:
    """Wall seconds / processor seconds / MB."""
    ways = next(iter(results.values()))
    lines = [f"| model | {' | '.join(ways)} |", "|---" * (len(ways) + 1) + "|"]
    for model, rows in results.items():
        cells = ["-" if "error" in row else f"{row['wall_s']:.1f} / {row['cpu_s']:.1f} / {row['peak_mb']:.0f}" for row in rows.values()]
        lines.append(f"| {model} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--models", default="")
    parser.add_argument("--way", action="append", choices=list(WAYS), help="repeat for more; all without it")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "bridge-bench")
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    cache = options.cache.resolve()
    for name in ("aeq", "tensorflow", "score", *(["litert-torch"] if "litert-torch" in (options.way or WAYS) else [])):
        environment(cache, name)
    results = {}
    for subject in exported(options.shared.resolve(), [name for name in options.models.split(",") if name], cache):
        results[subject.name] = measure(prepare(subject, cache / "files"), cache, options.way or list(WAYS), options.rounds)
        sys.stderr.write(f"{subject.name}: {json.dumps(results[subject.name])}\n")
    if options.markdown is not None:
        options.markdown.write_text(markdown(results))
    json.dump(results, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
