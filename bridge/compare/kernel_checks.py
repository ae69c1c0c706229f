"""Whether the runtime agrees with itself: optimised and reference kernels, with and without tensors shown."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bridge.compare import metrics
from bridge.compare.forms import Form, form_of
from bridge.compare.metrics import ErrorSums
from bridge.errors import ToolError
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter
from bridge.types import Diagnostic

STEPS = 1.01  # kernels may round a value to either neighbour
FLOAT_SQNR_DB = 60.0  # what float kernels agree to


def check_kernels(path: Path, feeds: Mapping[str, np.ndarray], *, outputs_sqnr_db: Mapping[int, float], threads: int) -> tuple[Diagnostic, ...]:
    """Runs the file as it is on the optimised and on the reference kernels.

    Kernels that round differently drift apart with depth, so a difference is worth a warning only where it is greater than the whole error.

    Args:
        path: the file.
        feeds: its inputs.
        outputs_sqnr_db: error of each of its outputs against the user's model, by position.
        threads: of the run.

    Raises:
        ToolError: the optimised kernels cannot run it.
    """
    model = tflite.read_once(path)
    optimized = Interpreter(path, threads=threads).run(feeds)
    try:
        reference = Interpreter(path, kernels="reference").run(feeds)
    except ToolError as error:
        return (Diagnostic("no-reference-kernels", "info", f"The reference kernels cannot check the file: {error.message}"),)
    return _disagreements(
        model,
        reference,
        optimized,
        code="kernels-disagree",
        outputs_sqnr_db=outputs_sqnr_db,
        what="the reference kernels and the optimised ones",
        hint="Other devices may give other results: check the layers behind the first one with a low own error.",
    )


def check_shown(
    path: Path, feeds: Mapping[str, np.ndarray], shown: Sequence[np.ndarray], *, keep: bool = True, threads: int
) -> tuple[Diagnostic, ...]:
    """Compares the outputs of the file as it is with those it has when its tensors are shown, as for the errors of layers, and when LiteRT keeps them.

    Args:
        path: the file.
        feeds: its inputs.
        shown: its outputs with the same inputs and all tensors shown.
        keep: whether there is memory for all its tensors at once.
        threads: of the run.
    """
    model, plain = tflite.read_once(path), Interpreter(path, threads=threads).run(feeds)
    kept = Interpreter(path, threads=threads, preserve_all_tensors=True).run(feeds) if keep else plain
    ways = {
        "shown-tensors-change-outputs": (shown, "with its tensors shown", "The errors of layers may be others than in the file as it is."),
        "kept-tensors-change-outputs": (kept, "with preserve_all_tensors", "Tools that read tensors that way see others than those of the file."),
    }
    return tuple(
        finding
        for code, (outputs, what, hint) in ways.items()
        for finding in _disagreements(model, plain, outputs, outputs_sqnr_db={}, code=code, what=f"the file as it is and {what}", hint=hint)
    )


def _disagreements(
    model: tflite.ModelT,
    first: Sequence[np.ndarray],
    second: Sequence[np.ndarray],
    *,
    outputs_sqnr_db: Mapping[int, float],
    code: str,
    what: str,
    hint: str,
) -> tuple[Diagnostic, ...]:
    found = []
    for position, (index, one, other) in enumerate(zip(tflite.main_graph(model).outputs, first, second, strict=True)):
        form = _step_of(model, int(index))
        stored = form_of(tflite.main_graph(model).tensors[index])
        sums = ErrorSums()
        sums.add(one if stored is None else stored.real(one), other, stored)
        agreement = metrics.sqnr_db(sums)
        steps = metrics.max_abs(sums) / form.scale if form is not None else 0.0
        if steps > STEPS or (form is None and agreement < FLOAT_SQNR_DB):
            name = tflite.text(tflite.main_graph(model).tensors[index].name)
            size = f"{steps:.0f} steps of {form.scale:.3g}" if form is not None else f"{metrics.max_abs(sums):.3g}"
            grave = agreement < outputs_sqnr_db.get(position, math.inf)
            found.append(
                Diagnostic(
                    code, "warning" if grave else "info", f"Output {name!r} differs between {what}: by up to {size}, {agreement:.1f} dB.", hint
                )
            )
    return tuple(found)


def _step_of(model: tflite.ModelT, output: int) -> Form | None:
    """The form in which an output is computed: its own, or that before the DEQUANTIZE at the door; None for a float computation."""
    main = tflite.main_graph(model)
    for op in main.operators:
        if output in op.outputs and tflite.op_name(model, op) == "DEQUANTIZE":
            return form_of(main.tensors[op.inputs[0]])
    return form_of(main.tensors[output])
