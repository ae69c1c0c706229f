"""The ranges that the forms of activations have to hold, by precision."""

from collections.abc import Mapping
from types import MappingProxyType

from bridge.quantize.conditions import Spans
from bridge.quantize.precisions import PRECISIONS
from bridge.types import Ranges, TensorRange


def spans_by_precision(ranges: Ranges) -> Mapping[str, Spans]:
    """Precision -> the range of every tensor in it: the calibrated one with the precision's headroom, and as it is where a rule sets or clips it."""
    exact = {name for name, choice in ranges.choices.items() if choice.fixed or choice.clip}
    return MappingProxyType({row.name: _wider(ranges.tensors, row.headroom, exact) for row in PRECISIONS.values()})


def _wider(tensors: Spans, factor: float, exact: set[str]) -> Spans:
    if factor == 1.0:
        return tensors
    wider = {name: TensorRange(factor * span.minimum, factor * span.maximum) for name, span in tensors.items()}
    return MappingProxyType({**wider, **{name: tensors[name] for name in exact if name in tensors}})
