"""What every tool starts from: one float file, its calibration samples in its own layout, and what onnxruntime answers on the evaluation samples."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from msgspec.structs import asdict

from bridge import frontends, graph
from bridge.calibrate import Calibration
from bridge.calibrate.dataset import Dataset
from bridge.compare import OnnxRunner
from bridge.convert import Onnx2tfOptions, to_float_tflite
from bridge.convert.layout import channels_last_inputs
from bridge.files import digest
from bridge.tflite.feeds import feed
from bridge.types import Graph, InputBinding, TensorSpec

PROBES = 2
TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Subject:
    """A model to quantize: the `.onnx` file and its two sets of samples."""

    name: str
    model: Path
    calibration: Path
    evaluation: Path


@dataclass(frozen=True, slots=True)
class Source:
    """The files that all tools get.

    Attributes:
        subject: what they were made from.
        digest: of the float file and the calibration samples; the same digest, the same task for the peers.
        float_file: float TFLite file of the normalised model.
        onnx_file: the normalised model that it was converted from.
        samples: calibration, one array per input of the float file, in its layout, batch axis inside: [N, *input shape].
        reference: what onnxruntime computes for the user's model: output name -> [N, *output shape without batch axis].
        keep_inputs: inputs of the normalised model that keep their layout in TFLite.
        input_shapes: for inputs whose shape the model leaves open, by name.
        inputs: how samples are fed to the float file.
    """

    subject: Subject
    digest: str
    float_file: Path
    onnx_file: Path
    samples: Path
    reference: Path
    keep_inputs: tuple[str, ...]
    input_shapes: Mapping[str, tuple[int, ...]]
    inputs: tuple[InputBinding, ...]


def subject_in(folder: Path) -> Subject:
    """A folder with `model.onnx`, or one `.onnx` of another name, `calibration.npz` and `evaluation.npz`."""
    (model,) = folder.glob("*.onnx")
    return Subject(folder.name, model, folder / "calibration.npz", folder / "evaluation.npz")


def prepare(subject: Subject, folder: Path) -> Source:
    """Makes the files, or takes those of an earlier run with the same model, samples and version of the conversion."""
    key = _key(subject)
    target = folder / subject.name / key
    if not (target / "source.json").is_file():
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        _make(subject, target)
    known = json.loads((target / "source.json").read_text())
    return Source(
        subject=subject,
        digest=known["digest"],
        float_file=target / "float.tflite",
        onnx_file=target / "normalised.onnx",
        samples=target / "samples.npz",
        reference=target / "reference.npz",
        keep_inputs=tuple(known["keep_inputs"]),
        input_shapes={name: tuple(shape) for name, shape in known["input_shapes"].items()},
        inputs=bindings_of(known["inputs"]),
    )


def bindings_of(entries: Sequence[Mapping[str, Any]]) -> tuple[InputBinding, ...]:
    """Bindings from JSON."""
    return tuple(
        InputBinding(one["onnx_name"], one["tflite_name"], tuple(one["onnx_shape"]), tuple(one["permutation"]), one["dtype"]) for one in entries
    )


def samples_of(path: Path, inputs: Sequence[TensorSpec]) -> Dataset:
    """The samples of a file, one call each."""
    return Calibration.from_npz(path).dataset(tuple(inputs))


def code_digest(*packages: str) -> str:
    """Of the sources of parts of the project: the same digest, the same behaviour."""
    root = Path(__file__).resolve().parents[2]
    total = sha256()
    for package in packages:
        for path in sorted((root / package).rglob("*")):
            if path.suffix in (".py", ".toml"):
                total.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return total.hexdigest()[:12]


def _key(subject: Subject) -> str:
    parts = [digest(path) for path in (subject.model, subject.calibration, subject.evaluation)]
    parts.append(code_digest("bridge/frontends", "bridge/graph", "bridge/convert"))
    return sha256("".join(parts).encode()).hexdigest()[:12]


def open_shapes(model: Path, calibration: Path) -> dict[str, tuple[int, ...]]:
    """Shapes for the inputs that leave some open: a sample's, with a batch of one in front where that is what is missing."""
    found = {}
    with np.load(calibration) as archive:
        for spec in OnnxRunner(frontends.load(model, input_shapes={}).proto, intermediates=False).inputs:
            if any(isinstance(size, str) for size in spec.shape):
                sample = archive[spec.name].shape[1:]
                found[spec.name] = sample if len(sample) == len(spec.shape) else (1, *sample)
    return found


def _make(subject: Subject, target: Path) -> None:
    shapes = open_shapes(subject.model, subject.calibration)
    model = frontends.load(subject.model, input_shapes=shapes)
    normal = graph.normalize(model, input_shapes=shapes)
    calibration = samples_of(subject.calibration, normal.inputs)
    converted = to_float_tflite(
        normal,
        target / "float.tflite",
        reference=OnnxRunner(model.proto, threads=2).run,
        probes=[calibration[position] for position in range(min(PROBES, len(calibration)))],
        input_layout="auto",
        options=Onnx2tfOptions(target / "onnx2tf.log", timeout_s=TIMEOUT_S),
        threads=2,
    )
    ir.save(normal.model, target / "normalised.onnx")
    bindings = converted.tensor_map.inputs
    rows = [feed(bindings, sample) for sample in calibration]
    np.savez(target / "samples.npz", allow_pickle=False, **{name: np.stack([row[name] for row in rows]) for name in rows[0]})
    _write_reference(OnnxRunner(model.proto, threads=2, intermediates=False), samples_of(subject.evaluation, normal.inputs), target / "reference.npz")
    known = {
        "digest": sha256((converted.sha256 + digest(target / "samples.npz")).encode()).hexdigest()[:12],
        "keep_inputs": _kept(normal),
        "input_shapes": shapes,
        "inputs": [asdict(binding) for binding in bindings],
    }
    (target / "source.json").write_text(json.dumps(known, indent=1))


def _kept(normal: Graph) -> list[str]:
    moved = channels_last_inputs(normal.model, "auto")
    return [str(value.name) for value in normal.model.graph.inputs if value.name not in moved]


def _write_reference(runner: OnnxRunner, samples: Dataset, path: Path) -> None:
    rows = [runner.run(sample, runner.outputs) for sample in samples]
    np.savez(path, allow_pickle=False, **{name: np.stack([without_batch(row[name]) for row in rows]) for name in runner.outputs})


def without_batch(value: np.ndarray) -> np.ndarray:
    """An output without the batch axis of one that the model puts in front."""
    return value[0] if value.shape[:1] == (1,) else value
