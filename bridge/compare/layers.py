"""Errors of every tensor that both sides have, streamed over samples; every other tensor keeps its row and its reason."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from bridge.compare import attribution, metrics
from bridge.compare.attribution import Counterparts, Cut
from bridge.compare.candidates import in_layout, open_exposed
from bridge.compare.forms import Feeder, Form, feeder, form_of
from bridge.compare.metrics import ErrorSums
from bridge.compare.reference import Reference
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter
from bridge.types import Diagnostic, LayerResult, OpOutcome, TensorMap, TensorPair

MOVES_DATA = "only moves data: the error it carries is counted where it was made"
GONE = "the quantized file has no such tensor"
NOT_WRITTEN = "the operator that writes it in the float file is not in the quantized one"
UNCUT = "its operators read a quantized value that the float file does not have"
NO_FLOAT_FILE = "compared without the float file, so only the error end to end is known"
SUBGRAPHS = "a file with control flow is not taken apart, so there is no own error"

NO_TENSOR = -1

type Values = Mapping[int, np.ndarray]  # by tensor index of a file


@dataclass(slots=True)
class Row:
    """A mapped pair under measurement.

    Attributes:
        pair: the ONNX tensor and its name in the float file.
        float_tensor: its tensor there, -1 (NO_TENSOR) when only the quantized file is compared.
        quantized_tensor: its tensor in the quantized file, None when there is none.
        owner: node whose operators compute it, None for a model input.
        form: of the quantized tensor.
        own: whether the own error is measured here.
        reason: why something is not measured.
    """

    pair: TensorPair
    float_tensor: int
    quantized_tensor: int | None
    owner: str | None
    form: Form | None
    own: bool
    reason: str
    conversion_sums: ErrorSums = field(default_factory=ErrorSums)
    inherited_sums: ErrorSums = field(default_factory=ErrorSums)
    own_sums: ErrorSums = field(default_factory=ErrorSums)

    def add(self, reference: np.ndarray, real: Values, stored: Values, alone: Values) -> None:
        """Takes in one sample: the ONNX value, and the values of the float file, of the quantized file end to end, and of its nodes alone."""
        tensor = self.quantized_tensor if self.quantized_tensor is not None else NO_TENSOR
        value, other = real.get(self.float_tensor), stored.get(tensor)
        shown = value if value is not None else other
        if shown is None:
            return
        aligned = in_layout(reference, shown.shape, self.pair.permutation)
        if value is not None:
            self.conversion_sums.add(aligned, value)
        if other is not None:
            self.inherited_sums.add(aligned, other, self.form)
        if value is not None and self.own:
            self.own_sums.add(value, alone[tensor], self.form)

    def result(self) -> LayerResult:
        """The row of the report."""
        there = self.quantized_tensor is not None
        return LayerResult(
            node=self.pair.node,
            tensor=self.pair.tensor,
            status="mapped",
            reason=self.reason,
            tflite_tensor=self.pair.tflite_tensor,
            permutation=self.pair.permutation,
            evidence=self.pair.evidence,
            conversion_sqnr_db=metrics.sqnr_db(self.conversion_sums) if self.float_tensor != NO_TENSOR else None,
            inherited_sqnr_db=metrics.sqnr_db(self.inherited_sums) if there else None,
            own_sqnr_db=metrics.sqnr_db(self.own_sums) if self.own else None,
            rmse_over_scale=metrics.rmse(self.own_sums) / self.form.scale if self.own and self.form is not None else None,
            cosine=metrics.cosine(self.inherited_sums) if there else None,
            max_abs=metrics.max_abs(self.inherited_sums) if there else None,
        )


def _unmeasured(pair: TensorPair) -> LayerResult:
    return LayerResult(node=pair.node, tensor=pair.tensor, status=pair.status, reason=pair.reason or GONE, tflite_tensor=pair.tflite_tensor)


@dataclass(frozen=True, slots=True)
class Shown:
    """A file whose tensors can be read after each run.

    Attributes:
        interpreter: of the file with `computed` as its outputs.
        feeder: how samples are fed to it.
        computed: tensors that a run gives, in the order of its outputs.
        fed: tensors that are model inputs -> their names.
    """

    interpreter: Interpreter
    feeder: Feeder
    computed: Sequence[int]
    fed: Mapping[int, str]

    def values(self, sample: Mapping[str, np.ndarray]) -> dict[int, np.ndarray]:
        """Tensor -> value; views that have to be dropped before the next run."""
        feeds = self.feeder(sample)
        views = self.interpreter.run_views(feeds)
        return dict(zip(self.computed, views, strict=True)) | {tensor: feeds[name] for tensor, name in self.fed.items()}


@dataclass(frozen=True, slots=True)
class LayerPass:
    """All that measures layers; `measure` takes in one sample after the other, then the rows have their results.

    Attributes:
        reference: the user's model, every tensor shown.
        rows: the mapped pairs.
        quantized: the quantized file end to end; its model outputs are shown too.
        joined: the float file, and behind its tensors those of the quantized file that are computed alone; None without a float file.
        shift: what is added to a tensor of the quantized file to name it in `joined`.
        diagnostics: what had to be done to open the files.
        threads: threads that work on the values.
    """

    reference: Reference
    rows: tuple[Row, ...]
    quantized: Shown
    joined: Shown | None
    shift: int
    diagnostics: tuple[Diagnostic, ...]
    threads: int

    def results(self, tensor_map: TensorMap) -> tuple[LayerResult, ...]:
        """A row for every pair of the map, in its order; unmapped ones with their reason."""
        measured = {(row.pair.node, row.pair.tensor): row for row in self.rows}
        found = ((pair, measured.get((pair.node, pair.tensor))) for pair in tensor_map.pairs)
        return tuple(_unmeasured(pair) if row is None else row.result() for pair, row in found)

    def measure(self, samples: Iterable[Mapping[str, np.ndarray]], progress: Callable[[int], None]) -> None:
        """Takes in the samples; each model runs once for each."""
        with ThreadPoolExecutor(max_workers=self.threads) as pool:
            for sample in samples:
                self._measure_one(sample, pool)
                progress(1)

    def _measure_one(self, sample: Mapping[str, np.ndarray], pool: ThreadPoolExecutor) -> None:
        expected = pool.submit(self.reference.run, sample, dict.fromkeys(row.pair.tensor for row in self.rows))
        stored, real = self.quantized.values(sample), self.joined.values(sample) if self.joined is not None else {}
        alone = {tensor - self.shift: value for tensor, value in real.items() if tensor >= self.shift}
        reference = expected.result()

        def add(rows: Sequence[Row]) -> None:
            for row in rows:
                row.add(reference[row.pair.tensor], real, stored, alone)

        for done in [pool.submit(add, self.rows[start :: self.threads]) for start in range(self.threads)]:
            done.result()


def open_pass(
    reference: Reference,
    float_model: tflite.ModelT,
    quantized_model: tflite.ModelT,
    tensor_map: TensorMap,
    outcomes: Sequence[OpOutcome],
    *,
    first: Mapping[str, np.ndarray],
    threads: int,
) -> LayerPass:
    """Opens both files so that every mapped tensor shows.

    Args:
        reference: the user's model with its intermediate tensors.
        float_model: the float file; belongs to the pass from now on.
        quantized_model: the quantized file.
        tensor_map: pairs, inputs and owners of the float file.
        outcomes: what the quantizer did with each of its operators.
        first: a sample that both are tried with.
        threads: of each run.

    Raises:
        ToolError: a file does not run.
    """
    pairs = attribution.counterparts(float_model, quantized_model, outcomes)
    rows = plan_rows(float_model, quantized_model, tensor_map, pairs)
    quantized, notes = _show_quantized(quantized_model, rows, feeder(quantized_model, tensor_map.inputs), first, threads=threads)
    feed_float = feeder(float_model, tensor_map.inputs)
    fed, computed = _fed_and_computed(float_model, [row.float_tensor for row in rows])
    shift = len(tflite.main_graph(float_model).tensors)
    own = dict.fromkeys([row.quantized_tensor for row in rows if row.own and row.quantized_tensor is not None])
    cut = Cut(float_model, quantized_model, pairs, tensor_map.owners)
    content = cut.join(computed, list(own)) if own else tflite.expose(float_model, computed)
    for row in rows:
        if row.own and row.owner in cut.uncut:
            row.own, row.reason = False, UNCUT
    alone = open_exposed(content, feed_float(first), what="the float file", threads=threads)
    joined = Shown(alone.interpreter, feed_float, [*computed, *(tensor + shift for tensor in own)], fed)
    return LayerPass(reference, tuple(rows), quantized, joined, shift, (*notes, *alone.diagnostics), max(1, threads))


def open_single_pass(
    reference: Reference, model: tflite.ModelT, tensor_map: TensorMap, *, first: Mapping[str, np.ndarray], threads: int
) -> LayerPass:
    """Opens one file for the errors end to end of the tensors that it has by the names of the map.

    Raises:
        ToolError: the file does not run.
    """
    main = tflite.main_graph(model)
    by_name = {tflite.text(main.tensors[index].name): index for index in tflite.activations(model)}
    rows = []
    for pair in tensor_map.pairs:
        if pair.status == "mapped" and pair.tflite_tensor in by_name:
            tensor = by_name[pair.tflite_tensor]
            rows.append(Row(pair, NO_TENSOR, tensor, None, form_of(main.tensors[tensor]), own=False, reason=NO_FLOAT_FILE))
    shown, notes = _show_quantized(model, rows, feeder(model, tensor_map.inputs), first, threads=threads)
    return LayerPass(reference, tuple(rows), shown, None, 0, notes, max(1, threads))


def _show_quantized(
    model: tflite.ModelT, rows: Sequence[Row], feed: Feeder, first: Mapping[str, np.ndarray], *, threads: int
) -> tuple[Shown, tuple[Diagnostic, ...]]:
    """The quantized file end to end with the rows' tensors and its model outputs shown."""
    tensors = [row.quantized_tensor for row in rows if row.quantized_tensor is not None]
    fed, computed = _fed_and_computed(model, [*tensors, *map(int, tflite.main_graph(model).outputs)])
    opened = open_exposed(tflite.expose(model, computed), feed(first), what="the quantized file", threads=threads)
    return Shown(opened.interpreter, feed, computed, fed), opened.diagnostics


def plan_rows(float_model: tflite.ModelT, quantized_model: tflite.ModelT, tensor_map: TensorMap, pairs: Counterparts) -> list[Row]:
    """One row per mapped pair. The own error of a tensor stands in the row of the first node that has it: later ones only pass it on."""
    main, quantized = tflite.main_graph(float_model), tflite.main_graph(quantized_model)
    by_name = {tflite.text(main.tensors[index].name): index for index in tflite.activations(float_model)}
    other_names = {tflite.text(quantized.tensors[index].name): index for index in tflite.activations(quantized_model)}
    owner_of = {int(tensor): owner for op, owner in zip(main.operators, tensor_map.owners, strict=True) for tensor in op.outputs}
    written = {int(tensor) for position in pairs.ops for tensor in quantized.operators[position].outputs}
    moving = attribution.movers(quantized_model, pairs, tensor_map.owners)
    whole = len(float_model.subgraphs) == len(quantized_model.subgraphs) == 1
    first: dict[int, str] = {}
    rows = []
    for pair in tensor_map.pairs:
        if pair.status != "mapped" or pair.tflite_tensor not in by_name:
            continue
        tensor = by_name[pair.tflite_tensor]
        other = pairs.tensors.get(tensor, other_names.get(pair.tflite_tensor))
        reason = _why_no_own(other, other in written, first.get(tensor), owner_of.get(tensor), moving, whole=whole)
        first.setdefault(tensor, pair.node)
        form = form_of(quantized.tensors[other]) if other is not None else None
        rows.append(Row(pair, tensor, other, owner_of.get(tensor), form, own=not reason, reason=reason))
    return rows


def _why_no_own(other: int | None, written: bool, first: str | None, owner: str | None, moving: frozenset[str], *, whole: bool) -> str:
    """Why a tensor gets no own error; empty if it gets one."""
    if other is None:
        return GONE
    if first is not None:
        return f"the same tensor as that of {first!r}, where the own error stands"
    if not whole:
        return SUBGRAPHS
    if owner is None or owner in moving:
        return MOVES_DATA
    return "" if written else NOT_WRITTEN


def _fed_and_computed(model: tflite.ModelT, tensors: Iterable[int]) -> tuple[dict[int, str], list[int]]:
    """Model inputs among the tensors with their names, and the others, each once."""
    main = tflite.main_graph(model)
    inputs = {int(index) for index in main.inputs}
    wanted = list(dict.fromkeys(tensors))
    return {tensor: tflite.text(main.tensors[tensor].name) for tensor in wanted if tensor in inputs}, [
        tensor for tensor in wanted if tensor not in inputs
    ]
