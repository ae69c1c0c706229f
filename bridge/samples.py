"""Which samples a run calibrates on and which it compares on, and what there is to say about them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct

from bridge import calibrate as calibrate_stage
from bridge.calibrate import Calibration, Dataset
from bridge.calibrate.dataset import SYNTHETIC as RANDOM
from bridge.errors import UsageError
from bridge.types import Diagnostic, Graph, TensorSpec

HOLD_OUT = 0.25  # share of the calibration data kept for the comparison when there is no evaluation data
SYNTHETIC_SAMPLES = 16


class RunSamples(Struct, frozen=True):
    """The samples of one run and what there is to say about where they come from."""

    calibration: Dataset
    evaluation: Dataset
    diagnostics: tuple[Diagnostic, ...]


def _synthetic() -> Diagnostic:
    return Diagnostic(
        "synthetic-calibration",
        "warning",
        "NOT FOR DEPLOYMENT: no calibration data were given, so the ranges come from random numbers.",
        "--calibration FILE.npz with 100 or more real samples, one array per model input.",
    )


def synthetic_evaluation() -> Diagnostic:
    """Said when there are no samples to compare on."""
    return Diagnostic(
        "synthetic-evaluation",
        "warning",
        "No samples were given, so the errors are those on random numbers.",
        "--evaluation FILE.npz compares on real samples.",
    )


def find_sources(*sources: Path | str | Calibration | None, preprocess: str | Path | None) -> list[Calibration | None]:
    """The sources of samples, None where there is none; nothing is read yet.

    Args:
        sources: what the user gave: paths, folders of pictures, `module:function`, or sources already.
        preprocess: how pictures become inputs.

    Raises:
        UsageError: a folder comes without a preprocessing, or a preprocessing without a folder.
        InputError: a preprocessing or a function does not exist.
    """
    if preprocess is not None and not any(isinstance(source, Path | str) and Path(source).is_dir() for source in sources):
        given = ", ".join(str(source) for source in sources if isinstance(source, Path | str))
        raise UsageError(
            f"A preprocessing is for folders of pictures. Received: {given or 'no folder'}.", hint="Arrays are saved as the model takes them."
        )
    return [source if source is None or isinstance(source, Calibration) else Calibration.find(source, preprocess=preprocess) for source in sources]


def choose_samples(normal: Graph, calibration: Calibration | None, evaluation: Calibration | None, *, seed: int, ranges_given: bool) -> RunSamples:
    """Both sets, checked against the model's inputs, and what there is to say about where they come from."""
    if calibration is None and evaluation is None:
        random = calibrate_stage.synthetic(normal.inputs, seed=seed, samples=2 * SYNTHETIC_SAMPLES)
        return RunSamples(*calibrate_stage.split(random, holdout=0.5), (synthetic_evaluation(),) if ranges_given else (_synthetic(),))
    if calibration is None:
        return RunSamples(
            calibrate_stage.synthetic(normal.inputs, seed=seed, samples=SYNTHETIC_SAMPLES),
            open_samples(evaluation, normal),
            () if ranges_given else (_synthetic(),),
        )
    samples = open_samples(calibration, normal)
    if evaluation is not None:
        other = open_samples(evaluation, normal)
        return RunSamples(samples, other, calibrate_stage.check_overlap(samples, other))
    if len(samples) < 2:
        return RunSamples(samples, samples, calibrate_stage.check_overlap(samples, samples))
    kept, held_out = calibrate_stage.split(samples, holdout=HOLD_OUT)
    message = f"Compared on {len(held_out)} of the {len(samples)} calibration samples, held out; the ranges come from the other {len(kept)}."
    return RunSamples(kept, held_out, (Diagnostic("evaluation-held-out", "info", message, "--evaluation compares on samples of its own."),))


def choose_evaluation(normal: Graph, calibration: Calibration | None, evaluation: Calibration | None, *, seed: int, ranges_given: bool) -> RunSamples:
    """What to compare on where nothing is calibrated: the evaluation samples, else those for calibration, else random ones.

    Ranges are not looked at, given or not.
    """
    if calibration is None and evaluation is None:
        random = calibrate_stage.synthetic(normal.inputs, seed=seed, samples=SYNTHETIC_SAMPLES)
        return RunSamples(random, random, (synthetic_evaluation(),))
    samples = open_samples(evaluation or calibration, normal)
    return RunSamples(samples, samples, ())


def open_samples(data: Calibration | None, normal: Graph) -> Dataset:
    """The samples checked against the model's inputs.

    Raises:
        InputError: they cannot be read or do not fit.
        UsageError: there are none.
    """
    if data is None:
        raise UsageError("There are no samples to compare on.", hint="Give --evaluation or --calibration.", code="data-count")
    return data.dataset(normal.inputs)


def first_sample(*sources: Calibration | None) -> Callable[[Sequence[TensorSpec]], Mapping[str, np.ndarray]]:
    """What gives the first sample of the first source for the inputs of a model; a synthetic one where there is no source."""

    def read(inputs: Sequence[TensorSpec]) -> Mapping[str, np.ndarray]:
        source = next((source for source in sources if source is not None), None)
        return calibrate_stage.synthetic(inputs, seed=0, samples=1)[0] if source is None else source.peek(tuple(inputs))[0]

    return read


def meaningful(findings: Sequence[Diagnostic], samples: Dataset) -> tuple[Diagnostic, ...]:
    """The findings of a comparison; random samples are of no class."""
    return tuple(finding for finding in findings if finding.code != "one-class" or not samples.source.startswith(RANDOM))
