"""Advice about calibration data: what is cheap to see and often wrong."""

from collections.abc import Mapping

import numpy as np

from bridge.calibrate.dataset import SYNTHETIC, Dataset
from bridge.calibrate.extents import Extents
from bridge.types import Diagnostic, TensorRange

FEW_SAMPLES = 16
GROWN = 0.1  # a range counts as growing when the last quarter of the samples added more than this share of its width
GROWING_SHARE = 0.2  # of the tensors; a few always meet their extreme value late, 4 of 39 in a ResNet-20 with 100 good samples
NAMED = 5  # examples in one message
RAW_PIXEL_MAXIMUM = 255.0
OVERLAP_ELEMENTS = 4096  # of each input that tell two samples apart


def check_data(dataset: Dataset, inputs: Mapping[str, TensorRange]) -> tuple[Diagnostic, ...]:
    """What the data alone tell.

    Args:
        dataset: the calibration samples.
        inputs: range of every float input over all samples, by name.
    """
    found = []
    if dataset.source == SYNTHETIC:
        found.append(
            Diagnostic(
                "synthetic-calibration",
                "warning",
                f"The ranges come from {len(dataset)} random samples: the file is not for deployment.",
                "Give real samples with --calibration.",
            )
        )
    elif len(dataset) < FEW_SAMPLES:
        found.append(
            Diagnostic(
                "few-calibration-samples",
                "warning",
                f"{dataset.source}: {len(dataset)} calibration samples are few; ranges need at least {FEW_SAMPLES}, better 100.",
                "Add samples that cover all kinds of input.",
            )
        )
    if dataset.ignored:
        found.append(
            Diagnostic("unused-arrays", "info", f"{dataset.source}: the model has no input for {_named(dataset.ignored)}; these arrays are not used.")
        )
    found += [_constant(dataset, name, extent) for name, extent in inputs.items() if extent.minimum == extent.maximum and len(dataset) > 1]
    found += [_raw_pixels(dataset, name) for name, extent in inputs.items() if _looks_raw(dataset, name, extent)]
    return tuple(found)


def check_ranges(dataset: Dataset, extents: Extents, names: Mapping[int, str]) -> tuple[Diagnostic, ...]:
    """What the ranges tell; `names` are those of the tensors."""
    found = []
    growth = 1.0 - extents.curve()[-2]
    growing = np.flatnonzero(growth > GROWN)
    if len(dataset) >= FEW_SAMPLES and growing.size > GROWING_SHARE * growth.size:
        worst = sorted(growing.tolist(), key=lambda tensor: -growth[tensor])
        found.append(
            Diagnostic(
                "ranges-still-growing",
                "warning",
                f"The last quarter of the {len(dataset)} calibration samples widened {growing.size} of {growth.size} ranges by more than "
                f"{GROWN:.0%}: {_named([names[tensor] for tensor in worst])}.",
                "Calibrate on more samples.",
            )
        )
    non_finite = extents.non_finite()
    if non_finite:
        found.append(
            Diagnostic(
                "non-finite-activations",
                "warning",
                f"{len(non_finite)} tensors of the float model hold NaN or infinity for some samples; their ranges are over the finite values: "
                f"{_named([names[tensor] for tensor in non_finite])}.",
                "A mask of minus infinity belongs in a float layer: name it in a rule.",
            )
        )
    return tuple(found)


def check_overlap(calibration: Dataset, evaluation: Dataset) -> tuple[Diagnostic, ...]:
    """Whether samples are in both sets, so that the comparison would flatter the result."""
    known = {_print(sample) for sample in calibration}
    common = sum(_print(sample) in known for sample in evaluation)
    if not common:
        return ()
    return (
        Diagnostic(
            "evaluation-on-calibration-data",
            "warning",
            f"{common} of {len(evaluation)} evaluation samples ({evaluation.source}) are calibration samples too: the errors look smaller than they are.",
            "Give other samples with --evaluation.",
        ),
    )


def delegate_refused(refusal: str) -> Diagnostic:
    """Said when calibration had to run on the slower kernels."""
    return Diagnostic(
        "calibrated-without-delegate",
        "info",
        f"XNNPACK does not run the float file with all its tensors shown, so the ranges come from the builtin kernels: {refusal}",
    )


def _constant(dataset: Dataset, name: str, extent: TensorRange) -> Diagnostic:
    return Diagnostic(
        "constant-input",
        "warning",
        f"{dataset.source}: input {name!r} is {extent.minimum:g} everywhere in all {len(dataset)} samples; its range tells nothing about other values.",
        "Check that the array is the real input.",
    )


def _looks_raw(dataset: Dataset, name: str, extent: TensorRange) -> bool:
    """Whole numbers from 0 to 255 that reach near both ends: pixels before any preprocessing."""
    if not (0.0 <= extent.minimum <= 8.0 and RAW_PIXEL_MAXIMUM - 8.0 <= extent.maximum <= RAW_PIXEL_MAXIMUM):
        return False
    first = dataset[0].get(name)
    return first is not None and bool((first == np.round(first)).all())


def _raw_pixels(dataset: Dataset, name: str) -> Diagnostic:
    return Diagnostic(
        "raw-pixels",
        "info",
        f"{dataset.source}: input {name!r} holds whole numbers from 0 to 255, as pixels before any preprocessing do.",
        "If the model was trained on scaled or normalised input, save that instead.",
    )


def _print(sample: Mapping[str, np.ndarray]) -> int:
    """Tells samples apart: the same for equal ones."""
    parts = []
    for value in sample.values():
        flat = value.reshape(-1)
        parts.append(flat[:: max(1, flat.size // OVERLAP_ELEMENTS)].tobytes())
    return hash(tuple(parts))


def _named(names: "list[str] | tuple[str, ...]") -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(repr, names[:NAMED])) + more
