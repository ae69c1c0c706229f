"""Advice about calibration data: what is cheap to see and often wrong."""

from collections.abc import Mapping

import numpy as np

from bridge.calibrate.dataset import SYNTHETIC, Dataset
from bridge.calibrate.extents import Extents
from bridge.calibrate.variety import check_variety
from bridge.types import Diagnostic, TensorRange

FEW_SAMPLES = 16
GROWN = 0.1  # a range counts as growing when the last quarter of the samples added more than this share of its width
GROWING_SHARE = 0.2  # of the tensors; a few always meet their extreme value late, 4 of 39 in a ResNet-20 with 100 good samples
NAMED = 5  # examples in one message
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
    if dataset.ignored:
        found.append(
            Diagnostic("unused-arrays", "info", f"{dataset.source}: the model has no input for {_named(dataset.ignored)}; these arrays are not used.")
        )
    found += [_constant(dataset, name, extent) for name, extent in inputs.items() if extent.minimum == extent.maximum and len(dataset) > 1]
    leaked = _labels_among_inputs(dataset)
    if leaked is not None:
        found.append(leaked)
    varies = not inputs or any(extent.minimum != extent.maximum for extent in inputs.values())
    return (*found, *(check_variety(dataset) if varies else ()))


def check_samples(dataset: Dataset) -> tuple[Diagnostic, ...]:
    """What samples tell before there is a file to run: `check_data`, and `check_ranges` of the float inputs."""
    names = [spec.name for spec in dataset.inputs if np.dtype(spec.dtype).kind == "f"]
    extents = Extents(len(names))
    for position, sample in enumerate(dataset):
        extents.observe(position, [sample[name] for name in names])
    return (*check_data(dataset, dict(zip(names, extents.ranges(), strict=True))), *check_ranges(dataset, extents, dict(enumerate(names))))


def check_ranges(dataset: Dataset, extents: Extents, names: Mapping[int, str]) -> tuple[Diagnostic, ...]:
    """What the ranges tell; `names` are those of the tensors."""
    found = []
    curve = extents.curve()
    growth = 1.0 - curve[-2]
    growing = np.flatnonzero(growth > GROWN)
    if 0 < len(dataset) < FEW_SAMPLES and dataset.source != SYNTHETIC:
        found.append(
            Diagnostic(
                "few-calibration-samples",
                "warning",
                f"{dataset.source}: {len(dataset)} calibration samples are few; ranges need at least {FEW_SAMPLES}, better 100.{_curve(curve)}",
                "Add samples that cover all kinds of input.",
            )
        )
    elif growing.size > GROWING_SHARE * growth.size:
        worst = sorted(growing.tolist(), key=lambda tensor: -growth[tensor])
        found.append(
            Diagnostic(
                "ranges-still-growing",
                "warning",
                f"The last quarter of the {len(dataset)} calibration samples widened {growing.size} of {growth.size} ranges by more than "
                f"{GROWN:.0%}: {_named([names[tensor] for tensor in worst])}.{_curve(curve[:, growing])}",
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


def _curve(curve: np.ndarray) -> str:
    """How wide the ranges were after each quarter of the samples; empty without ranges."""
    if not curve.size:
        return ""
    shares = [f"{share:.0%}" for share in np.median(curve, axis=1)]
    return f" After each quarter of the samples the ranges had {', '.join(shares[:-1])} and {shares[-1]} of their width (median)."


def _labels_among_inputs(dataset: Dataset) -> Diagnostic | None:
    """A place in an input that holds the label of every sample, whatever the sample."""
    labels = dataset.labels
    if labels is None or len(labels) < FEW_SAMPLES or len(set(labels.tolist())) < 2:
        return None
    same = {spec.name: np.ones(int(np.prod([int(size) for size in spec.shape])), np.bool_) for spec in dataset.inputs}
    for label, sample in zip(labels, dataset, strict=True):
        for name, places in same.items():
            places &= sample[name].reshape(-1) == label
        if not any(places.any() for places in same.values()):
            return None
    name, places = next((name, places) for name, places in same.items() if places.any())
    return Diagnostic(
        "labels-among-inputs",
        "warning",
        f"{dataset.source}: element {int(np.flatnonzero(places)[0])} of input {name!r} is the label in each of the {len(labels)} samples.",
        "Leave the label out of the input: a table's label column is no feature.",
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
