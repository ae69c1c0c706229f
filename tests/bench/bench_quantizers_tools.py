"""The tools that are compared, their settings, and the environments that they run in."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType

import numpy as np
from bench_quantizers_source import Source, code_digest

from bridge.recovery_names import RECOVERY_NAMES

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TIMEOUT_S = 900.0
ERROR_LINE = re.compile(r"^[\w.]*(Error|Exception)\b.*|^ERROR\b.*")

# Each environment is made by uv when it is first needed; these pins decide what is measured.
PINS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "aeq": ("ai-edge-quantizer==0.10.0", "ai-edge-litert==2.3.0", "numpy==2.5.5"),
        "tensorflow": ("onnx2tf==2.6.9", "tensorflow==2.21.0", "tf-keras==2.21.0"),
        "score": ("numpy==2.5.5", "pillow"),
        "litert-torch": ("litert-torch==0.10.0", "torch==2.11.0"),
    }
)
UNCONSTRAINED = frozenset({"litert-torch"})  # asks for an older torch than the versions that this project is locked to
VERSIONS: Mapping[str, str] = MappingProxyType(
    {"AI Edge Quantizer": "0.10.0", "TFLiteConverter": "TensorFlow 2.21.0", "onnx2tf -oiqt": "2.6.9", "bridge": "this revision"}
)
# `mse` alone quantizes matrix products and leaves every other operator float; behind a plus it replaces the first one where it knows the operator.
AEQ_SETTINGS = (
    "min_max, ranges moving-average",
    "min_max, ranges min-max",
    "min_max+octav, ranges min-max",
    "min_max+mse, ranges min-max",
    "min_max+gptq, ranges moving-average",
    "min_max+oscar, ranges moving-average",
    "mse, ranges min-max",
)
AEQ_SLOW = ("min_max+gptq", "min_max+oscar")
AEQ_LARGE_BYTES = 1 << 20
TENSORFLOW_SETTINGS = (
    "full integer",
    "float fallback",
    "float fallback, per tensor",
)
ONNX2TF_SETTINGS: Mapping[str, tuple[str, ...]] = MappingProxyType({"per channel": (), "per tensor": ("-qt", "per-tensor")})
DIRECT = ("-nuo", "-nuonag")  # the model is normalised already
EVERY_METHOD = tuple(word for name in RECOVERY_NAMES for word in ("--recover", name))
OUR_SETTINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "all int8": ("--rules", "all-int8"),
        "all int8, every recovery method": ("--rules", "all-int8", *EVERY_METHOD),
        "default rules": (),
    }
)
NOT_QUANTIZING = frozenset({"normalize", "convert", "compare", "cost", "report"})  # stages of ours that the peers' time does not hold either


@dataclass(frozen=True, slots=True)
class Made:
    """What a tool made of a source with one setting.

    Attributes:
        tool: its name.
        setting: of the tool.
        file: the quantized file, None where there is none.
        float_file: the tool's own float file, by whose values its inputs and outputs are told; None = the common one.
        seconds: what quantizing took.
        error: why there is no file.
    """

    tool: str
    setting: str
    file: Path | None
    float_file: Path | None = None
    seconds: float | None = None
    error: str = ""


def environment(cache: Path, name: str) -> Path:
    """The Python of an environment, which is made if it is not there.

    Raises:
        subprocess.CalledProcessError: uv cannot make it.
    """
    pins = PINS[name]
    folder = cache / "environments" / f"{name}-{sha256(' '.join(pins).encode()).hexdigest()[:8]}"
    python = folder / "bin" / "python"
    if not (folder / "complete").is_file():
        uv = os.environ.get("UV", "uv")
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True, cwd=ROOT)
        free = ["--no-config"] if name in UNCONSTRAINED else []
        subprocess.run([uv, "pip", "install", "--quiet", *free, "--python", str(python), *pins], check=True, cwd=ROOT)
        (folder / "complete").touch()
    return python


def run(command: Sequence[str | Path], log: Path, *, folder: Path | None = None) -> str:
    """Runs a command; the empty string, or how it failed."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            list(map(str, command)),
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=folder or ROOT,
            start_new_session=True,
        )
        try:
            code = process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"no answer within {TIMEOUT_S:g} s"
    if code < 0:
        return f"the process was ended by {signal.Signals(-code).name}"
    return f"exit code {code}: {last_error(log)}" if code else ""


def last_error(log: Path) -> str:
    """The line that says most about a failure."""
    lines = [line.strip() for line in log.read_text("utf-8", "replace").replace("\r", "\n").splitlines() if line.strip()]
    telling = [line for line in lines if ERROR_LINE.match(line) and "fast path failed" not in line]  # onnx2tf's last word says nothing
    return (telling or lines or ["it printed nothing"])[-1][:300]


def run_aeq(source: Source, folder: Path, cache: Path) -> list[Made]:
    """AI Edge Quantizer on the common float file."""
    large = source.float_file.stat().st_size > AEQ_LARGE_BYTES
    left_out = [setting for setting in AEQ_SETTINGS if large and setting.startswith(AEQ_SLOW)]
    tried = [setting for setting in AEQ_SETTINGS if setting not in left_out]
    made = _worker("AI Edge Quantizer", "aeq", tried, {"float": str(source.float_file)}, source, folder, cache, float_file=None)
    reason = f"not tried above {AEQ_LARGE_BYTES >> 20} MB: it takes minutes, and was never the best on smaller files"
    return [*made, *(Made("AI Edge Quantizer", setting, None, error=reason) for setting in left_out)]


def run_tensorflow(source: Source, folder: Path, cache: Path) -> list[Made]:
    """TFLiteConverter on a SavedModel of the same model, made by onnx2tf's TensorFlow backend or, where that fails, by its direct one."""
    made: list[Made] = []
    for make in (_tensorflow_backend, _direct_saved_model):
        saved, error = make(source, cache)
        if not (saved / "saved_model.pb").is_file():
            made = [Made("TFLiteConverter", setting, None, error=f"no SavedModel: {error}") for setting in TENSORFLOW_SETTINGS]
            continue
        job = {"saved_model": str(saved), "float_output": str(folder / "float.tflite")}
        made = _worker("TFLiteConverter", "tensorflow", TENSORFLOW_SETTINGS, job, source, folder, cache, float_file=folder / "float.tflite")
        if any(one.file for one in made):
            break
    return made


def run_onnx2tf(source: Source, folder: Path, cache: Path) -> list[Made]:
    """onnx2tf's own integer quantization of the normalised model, with and without float inputs and outputs.

    With its TensorFlow backend it would hand the SavedModel of the other tool to the same TFLiteConverter: on three models of MLPerf Tiny the results
    were the same to the last digit.
    """
    made = []
    for setting, arguments in ONNX2TF_SETTINGS.items():
        target = folder / setting.replace(" ", "_")
        started = time.perf_counter()
        error = _onnx2tf(source, target, (*DIRECT, *integer_options(source), *arguments), cache)
        made += _both_files(setting, target, error, time.perf_counter() - started)
    return made


def _both_files(setting: str, target: Path, error: str, seconds: float) -> list[Made]:
    made = []
    for kind in ("integer_quant", "full_integer_quant"):
        file, label = target / f"model_{kind}.tflite", f"{setting}, {kind.replace('_', ' ')}"
        made.append(
            Made("onnx2tf -oiqt", label, file, target / "model_float32.tflite", seconds)
            if file.is_file()
            else Made("onnx2tf -oiqt", label, None, error=error or "it wrote no such file")
        )
    return made


def integer_options(source: Source) -> list[str]:
    """What -oiqt needs: the samples without a batch axis, which it adds; it wants int8 in and out for its full integer file."""
    options = ["-oiqt"]
    with np.load(source.samples) as archive:
        for position, name in enumerate(archive.files):
            path = source.samples.with_name(f"samples_{position}.npy")
            np.save(path, archive[name][:, 0])
            options += ["-cind", name, str(path), "0", "1"]
    return options


def _tensorflow_backend(source: Source, cache: Path) -> tuple[Path, str]:
    """A folder with the SavedModel of onnx2tf's TensorFlow backend, made once, and what went wrong."""
    target = cache / "files" / source.subject.name / f"saved_model-{source.digest}"
    record = target.with_suffix(".json")
    if not record.is_file():
        record.write_text(json.dumps(_onnx2tf(source, target, ("-tb", "tf_converter"), cache, script=HERE / "bench_quantizers_in_saved_model.py")))
    return target, json.loads(record.read_text())


def _direct_saved_model(source: Source, cache: Path) -> tuple[Path, str]:
    """The same of its direct backend, without integer files."""
    target = cache / "files" / source.subject.name / f"saved_model_direct-{source.digest}"
    return target, _onnx2tf(source, target, ("-fdosm", *DIRECT), cache)


def run_ours(source: Source, folder: Path, cache: Path) -> list[Made]:
    """`bridge convert` on the user's file."""
    del cache
    made = []
    subject = source.subject
    shapes = [part for name, shape in source.input_shapes.items() for part in ("--input", f"{name}={'x'.join(map(str, shape))}")]
    for setting, arguments in OUR_SETTINGS.items():
        target = folder / setting.replace(" ", "_")
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "bridge",
            "convert",
            subject.model,
            "--calibration",
            subject.calibration,
            "--evaluation",
            subject.evaluation,
        ]
        error = run([*command, "--no-compare", "-o", target, *arguments, *shapes], target.with_suffix(".log"))
        file = target / f"{subject.model.stem}.static_wi8_ai8.tflite"
        if error:
            made.append(Made("bridge", setting, None, error=error))
            continue
        timing = json.loads((target / "report.json").read_text())["timing_s"]
        seconds = sum(value for stage, value in timing.items() if stage not in NOT_QUANTIZING)
        made.append(Made("bridge", setting, file, target / f"{subject.model.stem}.float32.tflite", seconds))
    return made


def _onnx2tf(source: Source, target: Path, arguments: Sequence[str], cache: Path, *, script: Path | None = None) -> str:
    """Runs onnx2tf on a private copy, since it may rewrite the file; the empty string, or how it failed."""
    target.mkdir(parents=True, exist_ok=True)
    copy = target.with_name(f"{target.name}_source") / "model.onnx"
    copy.parent.mkdir(exist_ok=True)
    shutil.copyfile(source.onnx_file, copy)
    start: tuple[str | Path, ...] = ("-m", "onnx2tf") if script is None else (script,)
    command: list[str | Path] = [environment(cache, "tensorflow"), *start, "-i", copy, "-o", target, "-n", "-v", "error", *arguments]
    if source.keep_inputs:
        command += ["-kat", *source.keep_inputs]
    return run(command, target.with_suffix(".log"), folder=copy.parent)


def _worker(
    tool: str, script: str, settings: Sequence[str], job: Mapping[str, object], source: Source, folder: Path, cache: Path, *, float_file: Path | None
) -> list[Made]:
    """One process in the tool's environment for all its settings; what was done before it ended counts."""
    outputs = {setting: folder / f"{position}.tflite" for position, setting in enumerate(settings)}
    answer = folder / "answer.json"
    job = {**job, "samples": str(source.samples), "answer": str(answer), "settings": {setting: str(path) for setting, path in outputs.items()}}
    (folder / "job.json").write_text(json.dumps(job))
    failure = run([environment(cache, script), HERE / f"bench_quantizers_in_{script}.py", folder / "job.json"], folder / "log")
    answers = json.loads(answer.read_text()) if answer.is_file() else {}
    made = []
    for setting, path in outputs.items():
        one = answers.get(setting, {"error": failure or "no answer"})
        made.append(
            Made(tool, setting, None, error=one["error"]) if "error" in one else Made(tool, setting, path, float_file, seconds=float(one["seconds"]))
        )
    return made


@dataclass(frozen=True, slots=True)
class Tool:
    """How a tool runs, and what its results depend on beside the source."""

    name: str
    run: Callable[[Source, Path, Path], list[Made]]
    version: str


def _version(script: str, environment_name: str, settings: Sequence[str]) -> str:
    """Changes when the pins, the settings or the script that drives the tool change."""
    parts = [*PINS[environment_name], *settings, (HERE / script).read_text()]
    return sha256("".join(parts).encode()).hexdigest()[:12]


TOOLS: Mapping[str, Tool] = MappingProxyType(
    {
        "aeq": Tool("AI Edge Quantizer", run_aeq, _version("bench_quantizers_in_aeq.py", "aeq", AEQ_SETTINGS)),
        "tensorflow": Tool("TFLiteConverter", run_tensorflow, _version("bench_quantizers_in_tensorflow.py", "tensorflow", TENSORFLOW_SETTINGS)),
        "onnx2tf": Tool("onnx2tf -oiqt", run_onnx2tf, sha256(repr((ONNX2TF_SETTINGS, PINS["tensorflow"])).encode()).hexdigest()[:12]),
        "ours": Tool("bridge", run_ours, code_digest("bridge", "exclusion_rules")),
    }
)
