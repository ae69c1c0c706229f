"""Whether an error is that of many parallel branches: their sum is rounded again with each one that is added."""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from msgspec import Struct

from bridge.compare.accumulation import LARGEST_SHARE
from bridge.compare.divergence import OWN_SQNR_DB
from bridge.tflite import model as tflite
from bridge.types import Diagnostic, LayerResult

ADDING = frozenset({"ADD", "SUB"})
LEAST_BRANCHES = 8
FALL_DB = 6.0  # from the branches to their sum: three quarters of the noise of the sum are of the additions
POOR_DB = 30.0  # of the sum; what keeps more is as good as a layer of int8


class _Sum(Struct):
    """A tensor that is the sum of others: the branches, and the sums on the way with itself as the last."""

    branches: list[int]
    sums: list[int]


def wide_sum_error(layers: Sequence[LayerResult], float_model: tflite.ModelT) -> Diagnostic | None:
    """The finding that the sum of many branches has a larger error than they have; None where one addition is to blame, or nothing is wrong.

    Measured (tests/end_to_end/test_wide_network.py): 64 branches of 36.9 dB (median) that are added one after the other give 26.6 dB, with float
    additions 37.3 dB; with 16-bit activations 44.8 dB become 45.1 dB.

    Args:
        layers: of the quantized file.
        float_model: the float file.
    """
    main = tflite.main_graph(float_model)
    by_tensor = {layer.tflite_tensor: layer for layer in layers if layer.tflite_tensor is not None}
    measured = {index: by_tensor[name] for index, tensor in enumerate(main.tensors) if (name := tflite.text(tensor.name)) in by_tensor}
    found = [finding for one in _sums(float_model) if (finding := _finding(one, measured)) is not None]
    return min(found, key=lambda one: one[0])[1] if found else None


def _finding(found: _Sum, measured: Mapping[int, LayerResult]) -> tuple[float, Diagnostic] | None:
    """The finding with the error of the sum."""
    branches = _finite(measured[tensor].inherited_sqnr_db for tensor in found.branches if tensor in measured)
    last = measured.get(found.sums[-1])
    own = _finite(measured[tensor].own_sqnr_db for tensor in found.sums if tensor in measured)
    if last is None or last.inherited_sqnr_db is None or len(found.branches) < LEAST_BRANCHES or 2 * len(branches) < len(found.branches) or not own:
        return None
    reached, before = last.inherited_sqnr_db, median(branches)
    noise = [10 ** (-error / 10) for error in own]
    if reached >= POOR_DB or before - reached < FALL_DB or min(own) < OWN_SQNR_DB or max(noise) > LARGEST_SHARE * sum(noise):
        return None
    message = (
        f"The sum of {len(found.branches)} branches keeps {reached:.1f} dB where they keep {before:.1f} dB (median): each of its {len(found.sums)} "
        f"additions rounds it again, and none has more than {max(noise) / sum(noise):.0%} of that noise."
    )
    first = next(measured[tensor].node for tensor in found.sums if tensor in measured)
    hint = (
        f"Keep the additions float by a rule, those from {first!r} to {last.node!r}; add in pairs, so that a value is rounded a few times only; "
        "or 16-bit activations (--precision static_wi8_ai16)."
    )
    return reached, Diagnostic("wide-sum-error", "warning", message, hint, last.node)


def _finite(errors: Iterable[float | None]) -> list[float]:
    return [error for error in errors if error is not None and math.isfinite(error)]


def _sums(model: tflite.ModelT) -> list[_Sum]:
    """Sums that are no part of a larger one. One that something else reads as well, as in a residual network, is a branch of the next."""
    main = tflite.main_graph(model)
    readers: dict[int, int] = {}
    for tensor in (*(int(tensor) for op in main.operators for tensor in op.inputs), *map(int, main.outputs)):
        readers[tensor] = readers.get(tensor, 0) + 1
    known: dict[int, _Sum] = {}
    for op in main.operators:
        operands = [int(tensor) for tensor in op.inputs]
        if tflite.op_name(model, op) not in ADDING or any(tflite.is_constant(model, main.tensors[tensor]) for tensor in operands):
            continue
        parts = [known.pop(tensor) if tensor in known and readers[tensor] == 1 else _Sum([tensor], []) for tensor in operands]
        whole = max(parts, key=lambda one: len(one.branches))
        for part in parts:
            if part is not whole:
                whole.branches += part.branches
                whole.sums += part.sums
        whole.sums.append(int(op.outputs[0]))
        known[int(op.outputs[0])] = whole
    return list(known.values())
