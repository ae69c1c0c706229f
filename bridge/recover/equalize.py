"""Equalizes the float file, and takes that back where it does not help the quantized file."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from bridge import calibrate
from bridge.calibrate import Dataset
from bridge.files import write_bytes
from bridge.quantize.precisions import INTEGER_WEIGHTS, PRECISIONS
from bridge.recover.equalization import equalized, without_pairs
from bridge.recover.outcome import TOO_LITTLE, Outcome, judged
from bridge.recover.score import Score
from bridge.recover.trials import Job, State, Trials
from bridge.tflite import model as tflite
from bridge.types import ConvertedModel, Ranges

METHOD = "equalization"


def equalize(
    converted: ConvertedModel, samples: Dataset, *, op_precisions: Sequence[str], precision: str, threads: int
) -> tuple[ConvertedModel, Outcome]:
    """The float file that computes the same with channels of like range, written in the place of the one given; that one if it does not help.

    Tensors that have other values for it lose their counterpart in the tensor map.

    Args:
        converted: the float file.
        samples: for calibration.
        op_precisions: precision asked for each of its operators.
        precision: of the quantized file as a whole.
        threads: threads that run samples.
    """
    if not any(PRECISIONS[name].weight in INTEGER_WEIGHTS for name in op_precisions):
        return converted, Outcome(METHOD, kept=False, reason="not tried, no weights become integers")
    job = Job(converted.path, op_precisions, precision, converted.tensor_map.inputs, samples, threads=threads)
    with tempfile.TemporaryDirectory(prefix="bridge-") as name:
        folder = Path(name)
        trials = Trials(job)
        if not trials.possible:
            return converted, Outcome(METHOD, kept=False, reason=TOO_LITTLE)
        content, rescaled = equalized(tflite.read(converted.path), trials.feeds("fit"), where=str(converted.path))
        if not rescaled:
            return converted, Outcome(METHOD, kept=False, reason="not tried, no two layers exchange factors")
        candidate = folder / "equalized.tflite"
        candidate.write_bytes(content)
        outcome = judged(METHOD, *(_score(replace(job, float_model=path), samples) for path in (converted.path, candidate)))
    if not outcome.kept:
        return converted, outcome
    return replace(converted, sha256=write_bytes(converted.path, content), tensor_map=without_pairs(converted.tensor_map, rescaled)), outcome


def _score(job: Job, samples: Dataset) -> Score:
    """Of the file as it is quantized without any other method."""
    return Trials(job).score(State(_ranges(job, samples)), "check")


def _ranges(job: Job, samples: Dataset) -> Ranges | None:
    if not any(PRECISIONS[name].needs_ranges for name in job.op_precisions):
        return None
    return calibrate.calibrate(job.float_model, samples, job.bindings, threads=job.threads, progress=lambda _: None)
