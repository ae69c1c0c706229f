"""Checks registered decompositions against the NumPy reference of the same operator, on real inputs."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx
from onnx import numpy_helper

from bridge.agreement import agreement_db
from bridge.custom_ops.decompose import CustomCall
from bridge.errors import UnsupportedModelError, UsageError
from bridge.types import Diagnostic

LEAST_DB = 60.0  # as for tensors of the two runtimes: float kernels agree to 90 dB and more

type Run = Callable[[Mapping[str, np.ndarray], Sequence[str]], Mapping[str, np.ndarray]]


def check_decompositions(
    model: onnx.ModelProto, calls: Sequence[CustomCall], run: Run, samples: Sequence[Mapping[str, np.ndarray]]
) -> tuple[Diagnostic, ...]:
    """One line for each operator that has both: how far its decomposition is from its reference, at the worst of its nodes.

    Args:
        model: with the decompositions inside; the tensors around a node are there under the user's names.
        calls: the nodes.
        run: the model in onnxruntime: inputs and names of tensors in, arrays out.
        samples: model inputs.

    Raises:
        UnsupportedModelError: they disagree; names the nodes with the figure.
        UsageError: a reference fails.
    """
    both = [call for call in calls if call.op.decomposition is not None and call.op.reference is not None]
    worst: dict[str, list[tuple[float, float, CustomCall]]] = {}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    fed = {value.name for value in model.graph.input}
    for sample in samples if both else ():
        names = {name for call in both for name in (*call.inputs, *call.outputs) if name and name not in constants and name not in fed}
        values = dict(sample) | dict(run(sample, sorted(names)))
        for call in both:
            operands = [_operand(name, values, constants) for name in call.inputs]
            found = agreement(apply_reference(call, operands), [values[name] for name in call.outputs if name])
            worst.setdefault(str(call.op), []).append((*found, call))
    wrong = [(db, error, call) for found in worst.values() for db, error, call in found if db < LEAST_DB]
    if wrong:
        raise UnsupportedModelError(
            "A decomposition does not compute what its reference computes: "
            + "; ".join(f"{call.op} at {call.name!r}: {db:.1f} dB, largest difference {error:.3g}" for db, error, call in wrong[:5])
            + ".",
            hint=f"Correct one of the two; they must agree to {LEAST_DB:g} dB.",
        )
    return tuple(_diagnostic(op, found) for op, found in worst.items())


def _diagnostic(op: str, found: list[tuple[float, float, CustomCall]]) -> Diagnostic:
    db, error, call = min(found, key=lambda one: one[0])
    nodes = len({each.name for _, _, each in found})
    figure = "equal" if math.isinf(db) else f"{db:.1f} dB"
    message = f"The decomposition of {op} agrees with its reference at {nodes} node{'s' * (nodes > 1)}: {figure}, largest difference {error:.3g}."
    return Diagnostic("custom-op-checked", "info", message, node=call.name)


def _operand(name: str, values: Mapping[str, np.ndarray], constants: Mapping[str, onnx.TensorProto]) -> np.ndarray | None:
    if not name:
        return None
    return numpy_helper.to_array(constants[name]) if name in constants else values[name]


def apply_reference(call: CustomCall, operands: Sequence[np.ndarray | None]) -> list[np.ndarray]:
    """What the reference gives for the node's inputs, an array for each output that has a name.

    Raises:
        UsageError: it fails, or returns too little.
    """
    where = f"The reference of {call.op}, node {call.name!r}"
    if call.op.reference is None:
        raise UsageError(f"{where}: there is none.", hint="register_op(..., reference=...)")
    try:
        result = call.op.reference(*operands, **call.attributes)
        results = [np.asarray(each) for each in (result if isinstance(result, tuple) else (result,))]
    except Exception as error:  # the user's own code, which may raise anything
        raise UsageError(f"{where} raised {type(error).__name__}: {error}") from error
    if len(results) < len(call.outputs):
        raise UsageError(f"{where}: must return {len(call.outputs)} arrays. Received: {len(results)}.", hint="Return a tuple for several outputs.")
    return [array for array, name in zip(results, call.outputs, strict=False) if name]


def agreement(expected: Sequence[np.ndarray], received: Sequence[np.ndarray]) -> tuple[float, float]:
    """SQNR in dB and largest difference of the worst output; -inf for another shape."""
    found = []
    for reference, candidate in zip(expected, received, strict=True):
        if reference.shape != candidate.shape:
            return -math.inf, math.inf
        exact = reference.astype(np.float64)
        found.append((agreement_db(exact, candidate), float(np.abs(exact - candidate).max(initial=0.0))))
    return min(found, default=(math.inf, 0.0))
