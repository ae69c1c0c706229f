"""Float TFLite file and ranges in, quantized TFLite file out."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from bridge.errors import InputError, UsageError
from bridge.files import digest, write_joined
from bridge.quantize.corrections import Corrections
from bridge.quantize.float_graph import FloatGraph, graph_of
from bridge.quantize.forms import Form
from bridge.quantize.placement import range_problem
from bridge.quantize.plan import make_plan
from bridge.quantize.precisions import find_precision
from bridge.quantize.spans import spans_by_precision
from bridge.quantize.writer import Writer
from bridge.tflite import model as tflite
from bridge.types import OpOutcome, QuantizedModel, Ranges

logger = logging.getLogger(__name__)

NONE = Corrections()
NO_FORMS: Mapping[str, Form] = MappingProxyType({})
NO_RANGES = Ranges({}, 0, "none", "")
EDGE_TYPES = ("float32", "int8", "uint8")


def quantize(
    float_model: Path,
    output: Path,
    *,
    ranges: Ranges | None,
    op_precisions: Sequence[str],
    precision: str = "static_wi8_ai8",
    input_dtype: str = "float32",
    output_dtype: str = "float32",
    corrections: Corrections = NONE,
    given: Mapping[str, Form] = NO_FORMS,
) -> QuantizedModel:
    """Writes a quantized TFLite file with float islands; the same arguments give the same bytes in every process.

    An operator that cannot run in the precision asked for stays float32 and its outcome says why. Operators that only move data take the
    type of what they carry.

    Args:
        float_model: TFLite file whose activations and weights are float32.
        output: file to write, whole or not at all.
        ranges: calibrated range of every float activation of `float_model`, by tensor name; None where nothing becomes an integer activation.
        op_precisions: precision wanted for each operator of its main graph, in order.
        precision: precision of the file as a whole; a label of the result.
        input_dtype: `float32`, `int8` or `uint8`: type of the model inputs that are float now.
        output_dtype: likewise for outputs.
        corrections: other weights, scales of weights and biases, from accuracy recovery.
        given: tensor name -> the integer form it has to get, in place of the one that its range gives; per tensor. Where a kernel ties two
            tensors, that of the input holds.

    Raises:
        InputError: the file is unreadable, its tensors are not told apart by name, or the ranges are not its own.
        UsageError: an unknown precision or dtype, not one precision per operator, or corrections that do not fit.
    """
    find_precision(precision)
    graph = graph_of(float_model)
    if ranges is not None and ranges.model_sha256 and ranges.model_sha256 != (found := digest(float_model)):
        raise InputError(
            f"{float_model}: the calibrated ranges belong to another file. Received: ranges of {ranges.model_sha256[:12]}, the file is {found[:12]}.",
            hint="Calibrate again with this model.",
        )
    model, outcomes = quantize_graph(
        graph,
        where=str(float_model),
        ranges=ranges,
        op_precisions=op_precisions,
        input_dtype=input_dtype,
        output_dtype=output_dtype,
        corrections=corrections,
        given=given,
    )
    graph.measured.forget_arrays()
    sha256 = write_joined(output, tflite.pieces(model))
    logger.debug("%s: %d of %d operators quantized", output, sum(outcome.precision != "float32" for outcome in outcomes), len(outcomes))
    return QuantizedModel(output, sha256, precision, outcomes)


def quantize_graph(
    graph: FloatGraph,
    *,
    where: str,
    ranges: Ranges | None,
    op_precisions: Sequence[str],
    input_dtype: str = "float32",
    output_dtype: str = "float32",
    corrections: Corrections = NONE,
    given: Mapping[str, Form] = NO_FORMS,
    kept: bool = True,
) -> tuple[tflite.ModelT, tuple[OpOutcome, ...]]:
    """Like `quantize`, of a file that is read already: the quantized file in memory, and what became of each operator.

    Args:
        graph: of the float file; it stays as it is, and knows more about its constants the next time.
        where: names it in errors.
        ranges: of this very file; whose they are is not looked at.
        op_precisions: as for `quantize`, and so are the others.
        input_dtype: likewise.
        output_dtype: likewise.
        corrections: likewise.
        given: likewise.
        kept: whether it becomes a file; else it shares what it can with the float file, and holds what nobody reads.

    Raises:
        InputError: as `quantize`.
        UsageError: likewise.
    """
    for name in op_precisions:
        find_precision(name)
    for option, dtype in (("input_dtype", input_dtype), ("output_dtype", output_dtype)):
        if dtype not in EDGE_TYPES:
            raise UsageError(f"{option} cannot be that. Received: {dtype!r}.", hint=f"Choose one of: {', '.join(EDGE_TYPES)}.")
    ranges = ranges or NO_RANGES
    _check(graph, where, ranges, op_precisions, integer_edges=(input_dtype != "float32", output_dtype != "float32"))
    corrections.check(len(graph.ops))
    plan = make_plan(
        graph,
        op_precisions,
        spans_by_precision(ranges),
        corrections=corrections,
        given=given,
        input_type=input_dtype.upper(),
        output_type=output_dtype.upper(),
    )
    model = tflite.copied(graph.model) if kept else tflite.grown(graph.model)
    positions = Writer(graph, plan, model, borrowed=not kept).write()
    return model, tuple(
        OpOutcome(op.index, op.name, planned.precision, planned.reason, position)
        for op, planned, position in zip(graph.ops, plan.ops, positions, strict=True)
    )


def _check(graph: FloatGraph, where: str, ranges: Ranges, op_precisions: Sequence[str], *, integer_edges: tuple[bool, bool]) -> None:
    if len(op_precisions) != len(graph.ops):
        raise UsageError(f"{where}: one precision per operator is needed: {len(graph.ops)}. Received: {len(op_precisions)}.")
    for integer, tensors in zip(integer_edges, (graph.inputs, graph.outputs), strict=True):
        for tensor in (graph.tensors[index] for index in tensors) if integer else ():
            if tensor.type == "FLOAT32" and (problem := range_problem(ranges.tensors, tensor.name)):
                raise InputError(f"{where}: {problem}, so it cannot become an integer model input or output.")
