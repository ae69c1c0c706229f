"""How the calibrated ranges grew with the samples: the median of all, and those a reader asks about."""

from collections.abc import Iterable, Mapping
from statistics import median

from bridge.report.values import Growth
from bridge.types import Ranges, TensorMap

GROWING = 3  # tensors that are listed because their ranges grew most at the end
STEADY = 0.99  # share of the final width from which on a range does not grow


def growth_median(ranges: Ranges) -> tuple[float, ...]:
    """The median share after each quarter of the samples; empty without curves."""
    return tuple(map(median, zip(*ranges.growth.values(), strict=True)))


def growth_rows(ranges: Ranges, tensor_map: TensorMap, tensors: Iterable[str]) -> tuple[Growth, ...]:
    """The curves of the tensors, then of those that grew most in the last quarter; by the user's names where there are some.

    Args:
        ranges: with curves by TFLite name.
        tensor_map: of the float file.
        tensors: user's names.
    """
    places = {pair.tensor: pair.tflite_tensor for pair in (*tensor_map.pairs, *tensor_map.outputs) if pair.tflite_tensor is not None}
    asked = {name: ranges.growth[places[name]] for name in tensors if places.get(name) in ranges.growth}
    return tuple(Growth(tensor=name, shares=shares) for name, shares in (asked | _growing(ranges.growth, places)).items())


def _growing(growth: Mapping[str, tuple[float, ...]], places: Mapping[str, str]) -> dict[str, tuple[float, ...]]:
    users = {place: name for name, place in places.items()}
    late = sorted((shares[-2], name) for name, shares in growth.items() if shares[-2] < STEADY)
    return {users.get(name, name): growth[name] for _, name in late[:GROWING]}
