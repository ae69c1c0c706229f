"""Errors of the model outputs over all samples, from the files as they are, on the kernels that users run."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from bridge.class_scores import Scores, one_class, scores
from bridge.compare import metrics
from bridge.compare.candidates import in_layout
from bridge.compare.forms import Feeder, Form, feeder, form_of
from bridge.compare.metrics import ErrorSums
from bridge.compare.samples import Samples
from bridge.tflite import model as tflite
from bridge.tflite import parallel
from bridge.tflite.interpreter import Interpreter
from bridge.tflite.parallel import Stream
from bridge.types import Diagnostic, InputBinding, OutputResult

type Outputs = Mapping[str, np.ndarray]  # by name, in the shape and layout of the user's model
type Watch = Callable[[int, Outputs, Outputs], None]  # position of the sample, outputs of the reference, of the last candidate


class Expected(Protocol):
    """Knows what the outputs of the user's model are: the model, or what it gave once."""

    def run(self, feeds: Mapping[str, np.ndarray], tensors: Iterable[str] | None = None) -> Outputs:
        """The outputs of those names for a sample."""


@dataclass(frozen=True, slots=True)
class OutputPair:
    """A model output and where a file has it.

    Attributes:
        name: in the user's model.
        shape: there.
        position: among the file's outputs.
        permutation: axes of the TFLite tensor in the order of the ONNX axes.
    """

    name: str
    shape: tuple[int, ...]
    position: int
    permutation: tuple[int, ...]

    @property
    def class_scores(self) -> bool:
        """Whether it looks like one score per class: [1, C] or [C]."""
        return len(self.shape) in (1, 2) and (len(self.shape) == 1 or self.shape[0] == 1) and self.shape[-1] > 1


@dataclass(frozen=True, slots=True)
class Candidate:
    """A TFLite file: how it is fed, and what the integers of its outputs stand for."""

    path: Path
    feeder: Feeder
    forms: tuple[Form | None, ...]


def candidate(path: Path, bindings: Sequence[InputBinding]) -> Candidate:
    """Reads what is needed to run a file on the user's samples."""
    return candidate_of(path, tflite.read_once(path), bindings)


def candidate_of(path: Path, model: tflite.ModelT, bindings: Sequence[InputBinding]) -> Candidate:
    """Like `candidate`, of a file that is read already."""
    main = tflite.main_graph(model)
    return Candidate(path, feeder(model, bindings), tuple(form_of(main.tensors[index]) for index in main.outputs))


@dataclass(frozen=True, slots=True)
class Known:
    """What need not run again, by position of the sample; taken out when it is asked for.

    Attributes:
        expected: outputs of the reference.
        first: outputs of the first of two candidates, as its interpreter gives them.
    """

    expected: dict[int, Outputs] = field(default_factory=dict)
    first: dict[int, list[np.ndarray]] = field(default_factory=dict)


@dataclass(slots=True)
class Seen:
    """One output in one sample.

    Attributes:
        sums: errors of each candidate.
        classes: the class that each model names, -1 where it is no score.
        scores: what the float model says of classes.
    """

    sums: list[ErrorSums] = field(default_factory=list)
    classes: list[int] = field(default_factory=list)
    scores: Scores | None = None


def compare_outputs(
    reference: Expected,
    candidates: Sequence[Candidate],
    pairs: Sequence[OutputPair],
    samples: Samples,
    *,
    threads: int,
    progress: Callable[[int], None],
    watch: Watch | None = None,
    known: Known | None = None,
) -> tuple[tuple[OutputResult, ...], tuple[Diagnostic, ...]]:
    """Errors of every output of the last candidate; of the first one, if there are two, as conversion error.

    Args:
        reference: the user's model, or its outputs; may be asked from several threads at once.
        candidates: the float file and the quantized one, or one file alone.
        pairs: the user's outputs in their order.
        samples: at least one.
        threads: copies of the files that run side by side, one thread each.
        progress: told how many more samples are done.
        watch: shown the outputs of every sample, from several threads and in any order.
        known: what such runs with one thread gave before.

    Raises:
        ToolError: a model does not run.
    """
    seen: list[list[Seen]] = [[] for _ in range(len(samples))]  # by sample, so that the sums do not depend on which worker was faster
    stream = Stream((samples[position] for position in range(len(samples))), progress)
    copies = max(1, min(threads, len(samples)))
    known = known or Known()
    tasks = [
        functools.partial(_work, reference, candidates, [Interpreter(one.path) for one in candidates], pairs, seen, watch, known)
        for _ in range(copies)
    ]
    parallel.run(tasks, stream)
    results, diagnostics = [], []
    for index, pair in enumerate(pairs):
        rows = [sample[index] for sample in seen]
        results.append(_result(pair, rows, samples.labels))
        diagnostics += _findings(pair, rows, samples.labels)
    return tuple(results), tuple(diagnostics)


def _work(
    reference: Expected,
    candidates: Sequence[Candidate],
    runners: Sequence[Interpreter],
    pairs: Sequence[OutputPair],
    seen: list[list[Seen]],
    watch: Watch | None,
    known: Known,
    stream: Stream,
) -> None:
    names = [pair.name for pair in pairs]
    for position, sample in stream:
        expected = known.expected.pop(position, None)
        if expected is None:
            expected = reference.run(sample, names)
        first = known.first.pop(position, None) if len(candidates) > 1 else None
        rest = zip(candidates[first is not None :], runners[first is not None :], strict=True)
        received = [*([] if first is None else [first]), *(runner.run(one.feeder(sample)) for one, runner in rest)]
        shown = None if watch is None else functools.partial(watch, position)
        seen[position] = _compare_one(expected, received, candidates, pairs, shown)


def _compare_one(
    expected: Outputs,
    received: Sequence[list[np.ndarray]],
    candidates: Sequence[Candidate],
    pairs: Sequence[OutputPair],
    shown: Callable[[Outputs, Outputs], None] | None,
) -> list[Seen]:
    found = []
    for pair in pairs:
        value = expected[pair.name]
        row = Seen(classes=[_class(value, pair)], scores=scores(value) if pair.class_scores else None)
        for one, outputs in zip(candidates, received, strict=True):
            output = outputs[pair.position]
            sums = ErrorSums()
            sums.add(in_layout(value, output.shape, pair.permutation, tensor=pair.name), output, one.forms[pair.position])
            row.sums.append(sums)
            row.classes.append(_class(output, pair))
        found.append(row)
    if shown is not None:
        last, forms = received[-1], candidates[-1].forms
        shown(expected, {pair.name: _in_users_layout(last[pair.position], forms[pair.position], pair) for pair in pairs})
    return found


def _in_users_layout(output: np.ndarray, form: Form | None, pair: OutputPair) -> np.ndarray:
    """A copy of an output as real numbers, in the shape of the user's model."""
    real = output if form is None else form.real(output)
    return real.transpose(pair.permutation).reshape(pair.shape).copy()


def _class(scores: np.ndarray, pair: OutputPair) -> int:
    """The best class. Order is all that counts, so integers need no scale, and an axis of size 1 no layout."""
    return int(scores.argmax()) if pair.class_scores and scores.size > 1 else -1


def _total(rows: Sequence[Seen], index: int) -> ErrorSums:
    total = ErrorSums()
    for row in rows:
        total.merge(row.sums[index])
    return total


def _result(pair: OutputPair, rows: Sequence[Seen], labels: np.ndarray | None) -> OutputResult:
    last, both = _total(rows, -1), len(rows[0].sums) > 1
    classes = np.array([row.classes for row in rows])
    usable = pair.class_scores and labels is not None and int(labels.max()) < pair.shape[-1] and int(labels.min()) >= 0
    return OutputResult(
        name=pair.name,
        sqnr_db=metrics.sqnr_db(last),
        cosine=metrics.cosine(last),
        max_abs=metrics.max_abs(last),
        conversion_sqnr_db=metrics.sqnr_db(_total(rows, 0)) if both else None,
        top1_agreement=float((classes[:, 0] == classes[:, -1]).mean()) if pair.class_scores else None,
        top1_float=float((classes[:, 0] == labels).mean()) if usable else None,
        top1_quantized=float((classes[:, -1] == labels).mean()) if usable else None,
    )


def _findings(pair: OutputPair, rows: Sequence[Seen], labels: np.ndarray | None) -> list[Diagnostic]:
    found = []
    if pair.class_scores and labels is not None and not 0 <= int(labels.min()) <= int(labels.max()) < pair.shape[-1]:
        message = f"Output {pair.name!r} has {pair.shape[-1]} scores, the labels go from {labels.min()} to {labels.max()}: no accuracy is given."
        found.append(Diagnostic("labels-out-of-range", "warning", message, "Save labels counted as the model counts its classes, from 0."))
    if (same := one_class([row.scores for row in rows])) is not None:
        message = (
            f"All {len(rows)} samples of the comparison are of class {same} for the float model, of {pair.shape[-1]} that output {pair.name!r} knows."
        )
        found.append(Diagnostic("one-class", "warning", message, "Take some samples of every class: shuffle before taking the first 100."))
    broken = sum(not np.isfinite(row.sums[-1].noise) for row in rows)
    if broken:
        message = f"Output {pair.name!r} holds NaN or infinity in {broken} of {len(rows)} samples where onnxruntime's is finite."
        found.append(Diagnostic("non-finite-output", "error", message, "`bridge compare` names the first layer that goes wrong."))
    return found
