"""Two runs side by side, tensor by tensor of the same name: model against model, and traces that were saved."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from bridge.compare import metrics
from bridge.compare.comparison import Comparison
from bridge.compare.metrics import ErrorSums
from bridge.compare.reference import Reference
from bridge.compare.rows import WORST_SAMPLES
from bridge.compare.samples import NamedSamples
from bridge.errors import InputError
from bridge.types import LayerResult, OutputResult, SampleError


class Run(Protocol):
    """What a model computed, or computes, for a number of samples."""

    @property
    def outputs(self) -> Sequence[str]:
        """Model outputs among the tensors."""

    @property
    def tensors(self) -> Sequence[str]:
        """Names of the tensors in the order they are computed."""

    def __len__(self) -> int: ...

    def name_of(self, position: int) -> str:
        """What a user finds the sample by."""

    def values(self, position: int) -> Mapping[str, np.ndarray]:
        """Real values of every tensor for one sample."""


class ModelRun:
    """A model that runs when its values are asked for.

    Args:
        reference: the model with its tensors shown.
        samples: what it runs on.
    """

    def __init__(self, reference: Reference, samples: NamedSamples) -> None:
        self._reference, self._samples = reference, samples
        self.outputs, self.tensors = reference.outputs, tuple(name for name in reference.tensors if name not in reference.outputs) + reference.outputs

    def __len__(self) -> int:
        return len(self._samples)

    def name_of(self, position: int) -> str:
        """The sample's name in the data."""
        return self._samples.name_of(position)

    def values(self, position: int) -> Mapping[str, np.ndarray]:
        """Runs the model."""
        return self._reference.run(self._samples[position])


def compare_runs(reference: Run, candidate: Run, *, nodes: Mapping[str, str], progress: Callable[[int], None]) -> Comparison:
    """Errors of every tensor that both have by name, over all samples; one sample's values are in memory at a time.

    Args:
        reference: what is right.
        candidate: what is compared with it.
        nodes: node that writes each tensor, where known.
        progress: told how many more samples are done.

    Raises:
        InputError: they have no tensor in common, or another number of samples.
    """
    if len(reference) != len(candidate):
        raise InputError(f"Both runs need the same samples. Received: {len(reference)} and {len(candidate)}.")
    there = set(candidate.tensors)
    common = [name for name in reference.tensors if name in there]
    if not common:
        raise InputError(
            "The two have no tensor of the same name, so there is nothing to compare.", hint="A trace of a TFLite file takes --tensor-map."
        )
    sums = {name: ErrorSums() for name in common}
    worst: dict[str, list[SampleError]] = {name: [] for name in common}
    other_shape: dict[str, str] = {}
    for position in range(len(reference)):
        expected, received = reference.values(position), candidate.values(position)
        for name in common:
            if expected[name].shape != received[name].shape:
                other_shape[name] = f"its shape is {list(expected[name].shape)} in one and {list(received[name].shape)} in the other"
                continue
            one = ErrorSums()
            one.add(expected[name], received[name])
            sums[name].merge(one)
            worst[name] = sorted([*worst[name], SampleError(reference.name_of(position), metrics.sqnr_db(one))], key=lambda item: item.sqnr_db)[
                :WORST_SAMPLES
            ]
        progress(1)
    layers = tuple(
        LayerResult(node=nodes.get(name, name), tensor=name, status="missing", reason=other_shape[name])
        if name in other_shape
        else _layer(nodes.get(name, name), name, sums[name], worst[name])
        for name in common
    )
    ends = [name for name in reference.outputs if name in there and name not in other_shape]
    return Comparison(layers, tuple(_output(name, sums[name]) for name in ends))


def _layer(node: str, tensor: str, sums: ErrorSums, worst: Sequence[SampleError]) -> LayerResult:
    return LayerResult(
        node=node,
        tensor=tensor,
        status="mapped",
        evidence="name",
        inherited_sqnr_db=metrics.sqnr_db(sums),
        cosine=metrics.cosine(sums),
        max_abs=metrics.max_abs(sums),
        worst_samples=tuple(worst),
    )


def _output(name: str, sums: ErrorSums) -> OutputResult:
    return OutputResult(name=name, sqnr_db=metrics.sqnr_db(sums), cosine=metrics.cosine(sums), max_abs=metrics.max_abs(sums))
