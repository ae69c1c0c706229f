"""The ranges that the forms of activations have to hold, by precision."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from bridge.quantize.conditions import Spans
from bridge.quantize.precisions import PRECISIONS
from bridge.types import Ranges, TensorRange


def spans_by_precision(ranges: Ranges) -> Mapping[str, Spans]:
    """Precision -> the range of every tensor in it: the calibrated one with the precision's headroom, and as it is where a rule sets or clips it."""
    exact = {name for name, choice in ranges.choices.items() if choice.fixed or choice.clip}
    return _ByPrecision(ranges.tensors, exact)


class _ByPrecision(Mapping[str, Spans]):
    """Made when they are asked for: most files have one precision."""

    def __init__(self, tensors: Spans, exact: set[str]) -> None:
        self._tensors, self._exact = tensors, exact
        self._made: dict[str, Spans] = {}

    def __getitem__(self, precision: str) -> Spans:
        if precision not in self._made:
            self._made[precision] = _wider(self._tensors, PRECISIONS[precision].headroom, self._exact)
        return self._made[precision]

    def __iter__(self) -> Iterator[str]:
        return iter(PRECISIONS)

    def __len__(self) -> int:
        return len(PRECISIONS)


def _wider(tensors: Spans, factor: float, exact: set[str]) -> Spans:
    if factor == 1.0:
        return tensors
    wider = {name: TensorRange(factor * span.minimum, factor * span.maximum) for name, span in tensors.items()}
    return MappingProxyType({**wider, **{name: tensors[name] for name in exact if name in tensors}})
