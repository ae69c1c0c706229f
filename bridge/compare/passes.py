"""Errors of layers within a memory budget: the rows are measured in as many passes over the samples as their values need."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import psutil
from msgspec import Struct, field

from bridge.compare import metrics
from bridge.compare.attribution import Cut
from bridge.compare.channel_findings import channel_findings
from bridge.compare.forms import feeder
from bridge.compare.kernel_checks import STEPS
from bridge.compare.layers import Files, LayerPass, open_pass
from bridge.compare.metrics import ErrorSums
from bridge.compare.reference import Reference
from bridge.compare.rows import Row, plan_rows, plan_single_rows, results
from bridge.compare.samples import NamedSamples
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter
from bridge.types import Diagnostic, LayerResult

DEFAULT_MEMORY_MB = 4096
SMALLEST_CHUNK = 64 << 20  # bytes of shown values below which further passes save nothing beside the models themselves
CLIPPED_HINT = (
    "Calibrate on samples like these, or set the range by a rule. Where range_search cut it, --recover bias_correction leaves it as it was."
)
CLIPPED_WIDTHS, CLIPPED_RMSE = 0.5, 3.0  # rounding leaves 0.29 steps; an observer that cuts off outliers to lose less stays below 3
KERNELS_DB = 25.0  # two kernels of one node; several operators that each round to another neighbour stay above, a wrong one leaves 14
COPIES = 2  # of each file: its bytes, and the interpreter's
OVERHEAD = 3  # times a shown value: what the interpreters compute it from, and what onnxruntime's arena keeps


class Measured(Struct):
    """What the passes found.

    Attributes:
        layers: a result for every pair of the tensor map, in its order.
        diagnostics: what had to be done to open the files, and what does not fit the budget.
        shown_outputs: model outputs of the quantized file in the first sample, with tensors shown.
        passes: how many there were.
    """

    layers: tuple[LayerResult, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    shown_outputs: list[np.ndarray] = field(default_factory=list)
    passes: int = 0


def measure_layers(
    reference: Reference,
    files: Files,
    samples: NamedSamples,
    positions: Sequence[int],
    *,
    memory_mb: int = DEFAULT_MEMORY_MB,
    threads: int,
    progress: Callable[[int], None],
) -> Measured:
    """Errors of every mapped tensor on some samples; every other tensor of the map keeps its reason.

    Args:
        reference: the user's model; what it shows itself does not matter.
        files: the quantized file and, for the own and the conversion error, the float file.
        samples: evaluation data.
        positions: which of them.
        memory_mb: what the process may take; where all values do not fit beside the models there are several passes over the samples.
        threads: threads that run models, one each, and sum up errors.
        progress: told how many more samples are done; `len(positions)` in all.

    Raises:
        ToolError: a model does not run.
    """
    quantized_model = tflite.read_once(files.quantized)
    float_model = tflite.read_once(files.float) if files.float is not None else None
    if float_model is not None and files.pairs is not None:
        rows = plan_rows(float_model, quantized_model, files.tensor_map, files.pairs)
    else:
        rows = plan_single_rows(quantized_model, files.tensor_map)
    room, notes = _room(files, memory_mb)
    chunks = list(_chunks(rows, [row.shown_bytes(float_model, quantized_model) for row in rows], room))
    del float_model, quantized_model
    found = Measured(passes=len(chunks))
    first = samples[positions[0]]
    steps = 0

    def tell(done: int) -> None:
        """A sample is done when every pass has seen it."""
        nonlocal steps
        before = steps // len(chunks)
        steps += done
        if steps // len(chunks) > before:
            progress(steps // len(chunks) - before)

    for chunk in chunks:
        shown = reference.showing({row.pair.tensor for row in chunk}, threads=1)  # beside the files: figures do not depend on `threads`
        shown.release()  # until LiteRT has packed its weights
        opened = open_pass(shown, chunk, files, first=first, threads=threads)
        if not found.shown_outputs:
            found.shown_outputs = _outputs(opened, files, first)
        notes += [note for note in opened.diagnostics if note not in notes]
        opened.measure(((samples.name_of(position), samples[position]) for position in positions), tell)
        del shown, opened  # before the next ones take their memory
    clipped = _first_clipped(rows)
    found.layers, found.diagnostics = results(rows, files.tensor_map), (*notes, *(() if clipped is None else (clipped,)), *channel_findings(rows))
    return found


def _first_clipped(rows: Sequence[Row]) -> Diagnostic | None:
    """The first tensor whose range cuts off so much of its values that this, not rounding, makes its error."""
    for row in rows:
        if row.form is not None and row.beyond > CLIPPED_WIDTHS:
            rmse = metrics.rmse(row.own_sums) / row.form.scale
            if rmse > CLIPPED_RMSE:
                message = (
                    f"The range of node {row.pair.node!r} ({row.pair.tensor!r}) is too small: values reach {row.beyond:.1f} times its width beyond it, "
                    f"and the error is {rmse:.1f} steps."
                )
                return Diagnostic("clipped-range", "warning", message, CLIPPED_HINT, row.pair.node)
    return None


def first_kernel_difference(files: Files, sample: Mapping[str, np.ndarray], *, memory_mb: int) -> Diagnostic | None:
    """The first node whose operators, alone on reference inputs, give another result on the reference kernels than on the optimised ones.

    Args:
        files: both files; without the float file there is nothing to cut at.
        sample: what they run on.
        memory_mb: as for `measure_layers`.

    Raises:
        ToolError: the file does not run on one of them.
    """
    if files.float is None or files.pairs is None:
        return None
    float_model, quantized_model = tflite.read_once(files.float), tflite.read_once(files.quantized)
    rows = [row for row in plan_rows(float_model, quantized_model, files.tensor_map, files.pairs) if row.own]
    sizes = [row.shown_bytes(float_model, quantized_model) for row in rows]
    for chunk in _chunks(rows, sizes, _room(files, memory_mb)[0]):
        own = [row.quantized_tensor for row in chunk if row.quantized_tensor is not None]
        cut = Cut(tflite.grown(tflite.read_once(files.float)), tflite.read_once(files.quantized), files.pairs, files.tensor_map.owners)
        content, feeds = cut.join([], own), feeder(float_model, files.tensor_map.inputs)(sample)
        values = [Interpreter(content, kernels=kernels).run(feeds) for kernels in ("optimized", "reference")]
        for row, optimized, reference in zip(chunk, *values, strict=True):
            if row.form is not None and row.owner not in cut.uncut:
                sums = ErrorSums()
                sums.add(row.form.real(reference), optimized, row.form)
                agreement, steps = metrics.sqnr_db(sums), metrics.max_abs(sums) / row.form.scale
                if agreement < KERNELS_DB and steps > STEPS:
                    message = (
                        f"Node {row.owner!r} ({row.pair.tensor!r}) is the first whose reference kernel gives another result: "
                        f"by up to {steps:.0f} steps, {agreement:.1f} dB."
                    )
                    return Diagnostic("kernel-differs", "warning", message, "`bridge ops` shows what is known of the kernels.", row.owner)
    return None


def _outputs(opened: LayerPass, files: Files, sample: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    values = opened.quantized.values(sample)
    return [values[int(index)].copy() for index in tflite.main_graph(tflite.read_once(files.quantized)).outputs]


def _room(files: Files, memory_mb: int) -> tuple[int, list[Diagnostic]]:
    """Bytes that shown values may take beside what the process and the opened files take, and what there is to say about it."""
    paths = [files.quantized, *([] if files.float is None else [files.float])]
    base = psutil.Process().memory_info().rss + COPIES * sum(path.stat().st_size for path in paths)
    room = ((memory_mb << 20) - base) // OVERHEAD
    if room >= SMALLEST_CHUNK:
        return room, []
    message = f"The models alone take about {base >> 20} MB, so the comparison cannot stay within {memory_mb} MB."
    return SMALLEST_CHUNK, [Diagnostic("memory-budget", "warning", message, "Give more with --memory, or compare a part with --from and --to.")]


def _chunks(rows: Sequence[Row], sizes: Sequence[int], room: int) -> Iterator[Sequence[Row]]:
    """The rows in their order, split where the next one does not fit."""
    start, used = 0, 0
    for position, size in enumerate(sizes):
        if used + size > room and position > start:
            yield rows[start:position]
            start, used = position, 0
        used += size
    yield rows[start:]
