"""Whether the runtime agrees with itself: optimised and reference kernels, with and without tensors shown."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct

from bridge.compare import metrics
from bridge.compare.forms import Form, form_of
from bridge.compare.metrics import ErrorSums
from bridge.errors import ToolError
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter
from bridge.types import Diagnostic

STEPS = 1.01  # kernels may round a value to either neighbour
FLOAT_SQNR_DB = 60.0  # what float kernels agree to
APART_DB = 3.0  # one kernel set with twice the noise of the other
NAMED = 3  # outputs in one message
KEPT_OPERATORS = 5_000  # LiteRT takes 2 s to close a file of so many that keeps its tensors, and 33 s with 20,000


def check_kernels(path: Path, feeds: Mapping[str, np.ndarray], *, expected: Mapping[int, np.ndarray], threads: int) -> tuple[Diagnostic, ...]:
    """Runs the file as it is on the optimised and on the reference kernels.

    Kernels that round differently drift apart with depth, each as far from the model as the other; a difference is worth a warning where one of them
    is farther.

    Args:
        path: the file.
        feeds: its inputs.
        expected: what the user's model gives for the same sample, in the file's layout, by position of the output.
        threads: of the run.

    Raises:
        ToolError: the optimised kernels cannot run it.
    """
    model = tflite.read_once(path)
    optimized = Interpreter(path, threads=threads).run(feeds)
    try:
        reference = Interpreter(path, kernels="reference").run(feeds)
    except ToolError as error:
        said = " ".join(error.message.removeprefix(f"{path}: ").split())
        return (Diagnostic("no-reference-kernels", "info", f"The reference kernels cannot check the file: {said}"),)
    return _disagreements(
        model,
        reference,
        optimized,
        code="kernels-disagree",
        expected=expected,
        what="the reference kernels and the optimised ones",
        hint="Other devices may give other results: measure the accuracy there.",
    )


def check_shown(
    path: Path, feeds: Mapping[str, np.ndarray], shown: Sequence[np.ndarray], *, keep: bool = True, threads: int
) -> tuple[Diagnostic, ...]:
    """Compares the outputs of the file as it is with those it has when its tensors are shown, as for the errors of layers, and when LiteRT keeps them.

    The latter only for files of up to 5,000 operators.

    Args:
        path: the file.
        feeds: its inputs.
        shown: its outputs with the same inputs and all tensors shown.
        keep: whether there is memory for all its tensors at once.
        threads: of the run.
    """
    model, plain = tflite.read_once(path), Interpreter(path, threads=threads).run(feeds)
    keep = keep and len(tflite.main_graph(model).operators) <= KEPT_OPERATORS
    kept = Interpreter(path, threads=threads, preserve_all_tensors=True).run(feeds) if keep else plain
    ways = {
        "shown-tensors-change-outputs": (shown, "with its tensors shown", "The errors of layers may be others than in the file as it is."),
        "kept-tensors-change-outputs": (kept, "with preserve_all_tensors", "Tools that read tensors that way see others than those of the file."),
    }
    return tuple(
        finding
        for code, (outputs, what, hint) in ways.items()
        for finding in _disagreements(model, plain, outputs, expected={}, code=code, what=f"the file as it is and {what}", hint=hint)
    )


class _Difference(Struct, frozen=True):
    """An output that two runs give differently; `apart_db` is how much more error one of them has, `inf` where that is unknown."""

    text: str
    apart_db: float
    agreement_db: float


def _disagreements(
    model: tflite.ModelT,
    first: Sequence[np.ndarray],
    second: Sequence[np.ndarray],
    *,
    expected: Mapping[int, np.ndarray],
    code: str,
    what: str,
    hint: str,
) -> tuple[Diagnostic, ...]:
    """One finding for all outputs that differ, the gravest first."""
    main = tflite.main_graph(model)
    found = []
    for position, (index, one, other) in enumerate(zip(main.outputs, first, second, strict=True)):
        form, stored = _step_of(model, int(index)), form_of(main.tensors[index])
        sums = _sums(one if stored is None else stored.real(one), other, stored)
        agreement = metrics.sqnr_db(sums)
        steps = metrics.max_abs(sums) / form.scale if form is not None else 0.0
        if steps > STEPS or (form is None and agreement < FLOAT_SQNR_DB):
            size = f"{steps:.0f} steps of {form.scale:.3g}" if form is not None else f"{metrics.max_abs(sums):.3g}"
            errors = [metrics.sqnr_db(_sums(expected[position], value, stored)) for value in (one, other) if position in expected]
            kept = f" (against the model {errors[0]:.1f} dB and {errors[1]:.1f} dB)" if errors else ""
            name = tflite.text(main.tensors[index].name)
            apart = 0.0 if errors and errors[0] == errors[1] else abs(errors[0] - errors[1]) if errors else math.inf
            found.append(_Difference(f"{name!r} by up to {size}, {agreement:.1f} dB{kept}", apart, agreement))
    if not found:
        return ()
    found.sort(key=lambda one: (-one.apart_db, one.agreement_db))
    more = f"; and {len(found) - NAMED} more" if len(found) > NAMED else ""
    subject = "1 output differs" if len(found) == 1 else f"{len(found)} outputs differ"
    message = f"{subject} between {what}: {'; '.join(one.text for one in found[:NAMED])}{more}."
    return (Diagnostic(code, "warning" if found[0].apart_db > APART_DB else "info", message, hint),)


def _sums(reference: np.ndarray, candidate: np.ndarray, form: Form | None) -> ErrorSums:
    sums = ErrorSums()
    sums.add(reference, candidate, form)
    return sums


def _step_of(model: tflite.ModelT, output: int) -> Form | None:
    """The form in which an output is computed: its own, or that before the DEQUANTIZE at the door; None for a float computation."""
    main = tflite.main_graph(model)
    for op in main.operators:
        if output in op.outputs.tolist() and tflite.op_name(model, op) == "DEQUANTIZE":
            return form_of(main.tensors[op.inputs[0]])
    return form_of(main.tensors[output])
