"""The tensors under measurement: one row for each that both sides have, with the sums of its errors and its worst samples."""

import heapq
import math
from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct, field

from bridge.compare import attribution, metrics
from bridge.compare.attribution import Counterparts
from bridge.compare.candidates import in_layout, other_shape
from bridge.compare.channels import Usage
from bridge.compare.forms import Form, form_of
from bridge.compare.metrics import ErrorSums
from bridge.tflite import model as tflite
from bridge.types import LayerResult, SampleError, TensorMap, TensorPair

MOVES_DATA = "only moves data: the error it carries is counted where it was made"
GONE = "the quantized file has no such tensor"
NOT_WRITTEN = "the operator that writes it in the float file is not in the quantized one"
NO_FLOAT_FILE = "compared without the float file, so only the error end to end is known"
SUBGRAPHS = "a file with control flow is not taken apart, so there is no own error"

NO_TENSOR = -1
FAR_WIDTHS = 0.05  # beyond the range: what a Sigmoid of 1 loses in a range up to 255/256 is no loss
CLIPPED = "clipped_share"  # of the float values that lie beyond the range of the integers
WORST_SAMPLES = 3  # kept for each tensor

type Values = Mapping[int, np.ndarray]  # by tensor index of a file


class Row(Struct):
    """A mapped pair under measurement.

    Attributes:
        pair: the ONNX tensor and its name in the float file.
        float_tensor: its tensor there, -1 (NO_TENSOR) when only the quantized file is compared.
        quantized_tensor: its tensor in the quantized file, None when there is none.
        owner: node whose operators compute it, None for a model input.
        form: of the quantized tensor.
        own: whether the own error is measured here.
        reason: why something is not measured.
        beyond: how far float values reach beyond what the integers can hold, in widths of that range.
        clipped: how many of them do.
        usage: how it uses its integers.
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
    worst: list[tuple[float, str]] = field(default_factory=list)
    beyond: float = 0.0
    clipped: int = 0
    usage: Usage = field(default_factory=Usage)

    def add(self, name: str, reference: np.ndarray, real: Values, stored: Values, alone: Values) -> None:
        """Takes in one sample: its name, the ONNX value, and the values of the float file, of the quantized file end to end, and of its nodes alone.

        Raises:
            ToolError: a file writes another shape than it declares.
        """
        tensor = self.quantized_tensor if self.quantized_tensor is not None else NO_TENSOR
        value, other = real.get(self.float_tensor), stored.get(tensor)
        shown = value if value is not None else other
        if shown is None:
            return
        aligned = in_layout(reference, shown.shape, self.pair.permutation, tensor=self.pair.tensor)
        for another in (other, alone.get(tensor) if self.own else None):
            if another is not None and another.size != aligned.size:
                raise other_shape(self.pair.tensor, another.shape, aligned.shape)
        if value is not None:
            self.conversion_sums.add(aligned, value, noise_only=True)
        if other is not None:
            sums = ErrorSums()
            sums.add(aligned, other, self.form)
            self.inherited_sums.merge(sums)
            self.rank(name, metrics.sqnr_db(sums))
        if value is not None and self.own:
            self.own_sums.add(value, alone[tensor], self.form, noise_only=True)
            if self.form is not None and value.size:
                self.clip(value, alone[tensor].dtype, float(value.min()), float(value.max()))
                self.usage.add(value, alone[tensor])

    def clip(self, value: np.ndarray, dtype: np.dtype[np.generic], lowest: float, highest: float) -> None:
        """Counts what the integers cannot hold of a value; most is inside, so its extremes are looked at first."""
        assert self.form is not None
        first, last = self.form.limits(dtype)
        if lowest < first or highest > last:
            outside = (value < first) | (value > last)
            self.clipped += int(np.count_nonzero(outside))
            low, high = self.form.ends(dtype)
            far = FAR_WIDTHS * (high - low)
            self.usage.cut((value < low - far) | (value > high + far))
            self.beyond = max(self.beyond, (highest - high) / (high - low), (low - lowest) / (high - low))

    def rank(self, name: str, sqnr_db: float) -> None:
        """Keeps the samples with the largest error end to end."""
        if len(self.worst) < WORST_SAMPLES:
            heapq.heappush(self.worst, (-sqnr_db, name))
        else:
            heapq.heappushpop(self.worst, (-sqnr_db, name))

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
            metrics=((CLIPPED, self.clipped / max(1, self.own_sums.count)),) if self.own and self.form is not None else (),
            worst_samples=tuple(SampleError(name, -negative) for negative, name in sorted(self.worst, reverse=True)),
        )

    def shown_bytes(self, float_model: tflite.ModelT | None, quantized_model: tflite.ModelT) -> int:
        """What its values take while a sample is measured: onnxruntime's, the float file's, the quantized file's end to end and alone."""
        total = 0
        if float_model is not None and self.float_tensor != NO_TENSOR:
            total += 2 * _bytes(tflite.main_graph(float_model).tensors[self.float_tensor])  # the reference has as many
        if self.quantized_tensor is not None:
            one = _bytes(tflite.main_graph(quantized_model).tensors[self.quantized_tensor])
            total += one * (2 if self.own else 1)
        return total


def _bytes(tensor: tflite.TensorT) -> int:
    return math.prod(tflite.shape(tensor)) * tflite.dtype(tensor).itemsize


def plan_rows(float_model: tflite.ModelT, quantized_model: tflite.ModelT, tensor_map: TensorMap, pairs: Counterparts) -> list[Row]:
    """One row per mapped pair. The own error of a tensor stands in the row of the first node that has it: later ones only pass it on."""
    main, quantized = tflite.main_graph(float_model), tflite.main_graph(quantized_model)
    by_name = {tflite.text(main.tensors[index].name): index for index in tflite.activations(float_model)}
    other_names = {tflite.text(quantized.tensors[index].name): index for index in tflite.activations(quantized_model)}
    owner_of = {tensor: owner for op, owner in zip(main.operators, tensor_map.owners, strict=True) for tensor in op.outputs.tolist()}
    written = {tensor for position in pairs.ops for tensor in quantized.operators[position].outputs.tolist()}
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


def plan_single_rows(quantized_model: tflite.ModelT, tensor_map: TensorMap) -> list[Row]:
    """One row per mapped pair whose tensor a file has by its name, for the errors end to end alone."""
    main = tflite.main_graph(quantized_model)
    by_name = {tflite.text(main.tensors[index].name): index for index in tflite.activations(quantized_model)}
    found = [(pair, by_name[pair.tflite_tensor]) for pair in tensor_map.pairs if pair.status == "mapped" and pair.tflite_tensor in by_name]
    return [Row(pair, NO_TENSOR, tensor, None, form_of(main.tensors[tensor]), own=False, reason=NO_FLOAT_FILE) for pair, tensor in found]


def results(rows: Sequence[Row], tensor_map: TensorMap) -> tuple[LayerResult, ...]:
    """A result for every pair of the map, in its order; unmeasured ones with their reason."""
    measured = {(row.pair.node, row.pair.tensor): row for row in rows}
    found = ((pair, measured.get((pair.node, pair.tensor))) for pair in tensor_map.pairs)
    return tuple(_unmeasured(pair) if row is None else row.result() for pair, row in found)


def _unmeasured(pair: TensorPair) -> LayerResult:
    return LayerResult(node=pair.node, tensor=pair.tensor, status=pair.status, reason=pair.reason or GONE, tflite_tensor=pair.tflite_tensor)
