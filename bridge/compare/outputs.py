"""Errors of the model outputs over all samples, from the files as they are, on the kernels that users run."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from msgspec import Struct, field

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
from bridge.tflite.run_file import LARGE
from bridge.types import Diagnostic, InputBinding, OutputResult

# The float file runs on so many samples, spread evenly: what converting changed is the same rounding in each, and it takes as long as the user's model.
CONVERSION_SAMPLES = 64

type Outputs = Mapping[str, np.ndarray]  # by name, in the shape and layout of the user's model
type Watch = Callable[[int, Outputs, Outputs], None]  # position of the sample, outputs of the reference, of the last candidate


class Expected(Protocol):
    """Knows what the outputs of the user's model are: the model, or what it gave once."""

    def run(self, feeds: Mapping[str, np.ndarray], tensors: Iterable[str] | None = None) -> Outputs:
        """The outputs of those names for a sample."""


class OutputPair(Struct, frozen=True):
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


class Candidate(Struct, frozen=True):
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


class Known(Struct, frozen=True):
    """What need not run again, by position of the sample; taken out when it is asked for.

    Attributes:
        expected: outputs of the reference.
        first: outputs of the first of two candidates, as its interpreter gives them.
    """

    expected: dict[int, Outputs] = field(default_factory=dict)
    first: dict[int, list[np.ndarray]] = field(default_factory=dict)


class Seen(Struct, frozen=True):
    """One output in one sample.

    Attributes:
        sums: errors of the last candidate.
        conversion: those of the first of two, None where it did not run.
        classes: the class that the user's model names and that which the last candidate names, -1 where it is no score.
        scores: what the float model says of classes.
    """

    sums: ErrorSums
    conversion: ErrorSums | None
    classes: tuple[int, int]
    scores: Scores | None


def conversion_samples(count: int) -> range | frozenset[int]:
    """The positions of the samples, of `count`, on which the float file runs."""
    if count <= CONVERSION_SAMPLES:
        return range(count)
    return frozenset(place * count // CONVERSION_SAMPLES for place in range(CONVERSION_SAMPLES))


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
    """Errors of every output of the last candidate; of the first one, if there are two, on at most CONVERSION_SAMPLES samples, as conversion error.

    Args:
        reference: the user's model, or its outputs; may be asked from several threads at once.
        candidates: the float file and the quantized one, or one file alone.
        pairs: the user's outputs in their order.
        samples: at least one.
        threads: copies of the files that run side by side, one thread each; of a large file there is one.
        progress: told how many more samples are done.
        watch: shown the outputs of every sample, from several threads and in any order.
        known: what such runs with one thread gave before.

    Raises:
        ToolError: a model does not run.
    """
    seen: list[list[Seen]] = [[] for _ in range(len(samples))]  # by sample, so that the sums do not depend on which worker was faster
    stream = Stream((samples[position] for position in range(len(samples))), progress)
    large = any(one.path.stat().st_size > LARGE for one in candidates)  # each copy packs all weights for itself
    copies = 1 if large else max(1, min(threads, len(samples)))
    known = known or Known()
    tasks = [functools.partial(_work, reference, candidates, pairs, seen, watch, known, large) for _ in range(copies)]
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
    pairs: Sequence[OutputPair],
    seen: list[list[Seen]],
    watch: Watch | None,
    known: Known,
    large: bool,
    stream: Stream,
) -> None:
    names = [pair.name for pair in pairs]
    measured = conversion_samples(len(seen)) if len(candidates) > 1 else ()
    opened = functools.cache(lambda place: Interpreter(candidates[place].path))  # what is known already needs no file
    if large:  # while LiteRT packs a file, that is in memory twice: the weights in onnxruntime come later
        for place in sorted({len(candidates) - 1, *(0 for position in measured if position not in known.first)}):
            opened(place)
    for position, sample in stream:
        expected = known.expected.pop(position, None)
        if expected is None:
            expected = reference.run(sample, names)
        first = None
        if position in measured:
            first = known.first.pop(position, None) or opened(0).run(candidates[0].feeder(sample))
        last = opened(len(candidates) - 1).run(candidates[-1].feeder(sample))
        shown = None if watch is None else functools.partial(watch, position)
        seen[position] = _compare_one(expected, first, last, candidates, pairs, shown)


def _compare_one(
    expected: Outputs,
    first: list[np.ndarray] | None,
    last: list[np.ndarray],
    candidates: Sequence[Candidate],
    pairs: Sequence[OutputPair],
    shown: Callable[[Outputs, Outputs], None] | None,
) -> list[Seen]:
    found = []
    for pair in pairs:
        value = expected[pair.name]
        found.append(
            Seen(
                sums=_sums(value, last, candidates[-1], pair),
                conversion=None if first is None else _sums(value, first, candidates[0], pair),
                classes=(_class(value, pair), _class(last[pair.position], pair)),
                scores=scores(value) if pair.class_scores else None,
            )
        )
    if shown is not None:
        forms = candidates[-1].forms
        shown(expected, {pair.name: _in_users_layout(last[pair.position], forms[pair.position], pair) for pair in pairs})
    return found


def _sums(value: np.ndarray, outputs: list[np.ndarray], one: Candidate, pair: OutputPair) -> ErrorSums:
    """The errors of one output of a candidate."""
    sums, output = ErrorSums(), outputs[pair.position]
    sums.add(in_layout(value, output.shape, pair.permutation, tensor=pair.name), output, one.forms[pair.position])
    return sums


def _in_users_layout(output: np.ndarray, form: Form | None, pair: OutputPair) -> np.ndarray:
    """A copy of an output as real numbers, in the shape of the user's model."""
    real = output if form is None else form.real(output)
    return real.transpose(pair.permutation).reshape(pair.shape).copy()


def _class(scores: np.ndarray, pair: OutputPair) -> int:
    """The best class. Order is all that counts, so integers need no scale, and an axis of size 1 no layout."""
    return int(scores.argmax()) if pair.class_scores and scores.size > 1 else -1


def _total(sums: Iterable[ErrorSums]) -> ErrorSums:
    total = ErrorSums()
    for one in sums:
        total.merge(one)
    return total


def _result(pair: OutputPair, rows: Sequence[Seen], labels: np.ndarray | None) -> OutputResult:
    last, conversion = _total(row.sums for row in rows), [row.conversion for row in rows if row.conversion is not None]
    classes = np.array([row.classes for row in rows])
    usable = pair.class_scores and labels is not None and int(labels.max()) < pair.shape[-1] and int(labels.min()) >= 0
    return OutputResult(
        name=pair.name,
        sqnr_db=metrics.sqnr_db(last),
        cosine=metrics.cosine(last),
        max_abs=metrics.max_abs(last),
        conversion_sqnr_db=metrics.sqnr_db(_total(conversion)) if conversion else None,
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
    broken = sum(not np.isfinite(row.sums.noise) for row in rows)
    if broken:
        message = f"Output {pair.name!r} holds NaN or infinity in {broken} of {len(rows)} samples where onnxruntime's is finite."
        found.append(Diagnostic("non-finite-output", "error", message, "`bridge compare` names the first layer that goes wrong."))
    return found
