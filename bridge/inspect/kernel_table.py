"""The table of operators and precisions, as the writer of quantized files uses it: `bridge ops`."""

import json
from collections.abc import Iterator, Sequence

from msgspec import Struct

from bridge.errors import UsageError
from bridge.indented_json import plain
from bridge.quantize.forms import Form
from bridge.quantize.measured import Measured, measured_with, measurements, unit
from bridge.quantize.missing_kernels import MISSING, why_no_kernel
from bridge.quantize.op_table import OPS, Kernel, Role
from bridge.quantize.precisions import PRECISIONS, Precision
from bridge.rules.wording import closest

FLOAT = "float32"
SHORT = {
    "static_wi8_ai8": "int8",
    "static_wi8_ai16": "int16",
    "dynamic_wi8_afp32": "dynamic",
    "weight_only_wi8_afp32": "weights 8",
    "weight_only_wi4_afp32": "weights 4",
    "float16": "float16",
}
YES, SOMETIMES, NO, NOTHING = "yes", "if", "no", "-"


class KernelView(Struct, frozen=True):
    """An operator in a precision.

    Attributes:
        op: TFLite name.
        precision: a name of `PRECISIONS`.
        kernel: `yes`, `if` a condition holds, `no`, or `-` where the operator has nothing that the precision changes.
        version: operator version, '' without a kernel.
        demands: what the kernel asks of its operands, in words.
        condition: what an operator must be to get it, '' if any can.
        reason: why there is no kernel; what runs instead.
        measured: the conformance cases, None without a kernel.
    """

    op: str
    precision: str
    kernel: str
    version: str = ""
    demands: tuple[str, ...] = ()
    condition: str = ""
    reason: str = ""
    measured: Measured | None = None


def kernel_table(ops: Sequence[str] = ()) -> tuple[KernelView, ...]:
    """Every operator that has a row or is known to have none, in every precision but float32, in which everything runs.

    Args:
        ops: only these; all if empty.

    Raises:
        UsageError: nothing is known about one of them.
    """
    known = sorted({*OPS, *(row.op for row in MISSING)})
    for op in ops:
        if op not in known:
            raise UsageError(
                f"Nothing is known about an operator of that name{closest(op, known)}. Received: {op!r}.", hint="`bridge ops` lists all."
            )
    wanted = [row for row in PRECISIONS.values() if row.name != FLOAT]
    return tuple(_view(op, precision) for op in (ops or known) for precision in wanted)


def to_json(views: Sequence[KernelView]) -> str:
    """The table, and the LiteRT that it was proved with."""
    return json.dumps({"litert": measured_with(), "kernels": [plain(view) for view in views]}, indent=1)


def render(views: Sequence[KernelView], *, details: bool = False) -> str:
    """The table as text: one line per operator, or with `details` one per operator and precision."""
    return "\n".join(_details(views) if details else _matrix(views)) + "\n"


def _view(op: str, precision: Precision) -> KernelView:
    row = OPS.get(op)
    kernel = None if row is None else row.kernels.get(precision.name)
    if kernel is not None:
        version = str(kernel.version) if isinstance(kernel.version, int) else kernel.version.words
        return KernelView(
            op,
            precision.name,
            SOMETIMES if kernel.condition.words else YES,
            "of the float operator" if precision.unpacked else version,
            tuple(_demands(op, kernel, precision)),
            kernel.condition.words,
            measured=measurements().get((op, precision.name)),
        )
    if not precision.integer and (row is None or Role.WEIGHT not in row.inputs):
        return KernelView(op, precision.name, NOTHING, reason="it has no weights, and activations are float")
    instead = next((other for other in precision.instead if row is not None and other in row.kernels), FLOAT)
    why = why_no_kernel(op, precision.name) or "LiteRT has none"
    return KernelView(op, precision.name, NO, reason=f"{why}; {instead} instead")


def _demands(op: str, kernel: Kernel, precision: Precision) -> Iterator[str]:
    row = OPS[op]
    if kernel.fixed_output is not None:
        yield f"output {_form(kernel.fixed_output)}"
    if precision.integer and row.scales.value != "own":
        yield "one scale for input and output" if row.scales.value == "inherit" else "one scale for all inputs and the output"
    if precision.activation == "INT16":
        yield "zero point 0"
    elif kernel.symmetric:
        yield f"zero point 0 in input {', '.join(map(str, kernel.symmetric))}"
    if Role.WEIGHT in row.inputs or kernel.weights:
        scales = "" if precision.weight == "FLOAT16" else " with a scale per channel" if kernel.per_channel else " with one scale"
        yield f"{precision.weight.lower()} weights{scales}"
    if precision.integer and Role.BIAS in row.inputs:
        yield f"{(kernel.bias or precision.bias).lower()} bias"
    if row.moves_data:
        yield "takes the type of what it carries"


def _form(form: Form) -> str:
    return f"scale 1/{1 / form.scale:g}, zero point {form.zero_point}"


def _matrix(views: Sequence[KernelView]) -> Iterator[str]:
    columns = tuple(SHORT)
    widths = {precision: max(len(SHORT[precision]), len(SOMETIMES)) for precision in columns}
    width = max(len(view.op) for view in views)
    yield f"Kernels of LiteRT {measured_with()}: yes, if a condition holds, no, or nothing to change (-). `bridge ops NAME` says which and why."
    yield f"{'':{width}}  " + "  ".join(f"{SHORT[precision]:{widths[precision]}}" for precision in columns)
    cells = {(view.op, view.precision): view.kernel for view in views}
    for op in dict.fromkeys(view.op for view in views):
        yield f"{op:{width}}  " + "  ".join(f"{cells[op, precision]:{widths[precision]}}" for precision in columns).rstrip()


def _details(views: Sequence[KernelView]) -> Iterator[str]:
    for op in dict.fromkeys(view.op for view in views):
        yield op
        for view in views:
            if view.op == op:
                yield f"  {view.precision}: {_sentence(view)}"


def _sentence(view: KernelView) -> str:
    if view.kernel in (NO, NOTHING):
        return f"{'no' if view.kernel == NO else 'nothing to change'}, {view.reason}"
    parts = [f"version {view.version}", *view.demands]
    if view.condition:
        parts.append(f"if {view.condition}")
    if view.measured is not None:
        parts.append(f"proved by {view.measured.cases} cases, at most {view.measured.worst:g} {unit(view.precision)} off")
    return "; ".join(parts)
