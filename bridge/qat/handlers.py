"""What layers of one's own round: a handler per class says it, for every framework in the same words."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

type Handler = Callable[[Any], Places]


@dataclass(frozen=True, slots=True)
class Places:
    """The values of one layer that are stored as int8.

    Attributes:
        inputs: whether what the layer reads is rounded.
        output: whether what it gives is rounded.
        weights: its parameters that are, by their name in the layer, and the axis of their output channels; None is one scale for all.
        inner: operators inside the layer whose results are rounded too, by the framework's name (`matmul`, `sigmoid`, `mul`); what lies
            between the input and the output without being named here stays float.
    """

    inputs: bool = True
    output: bool = True
    weights: Mapping[str, int | None] = field(default_factory=lambda: MappingProxyType({}))
    inner: tuple[str, ...] = ()


HANDLERS: dict[type, Handler] = {}


def handler(layer_class: type) -> Callable[[Handler], Handler]:
    """Registers what is below for layers of that class and of its subclasses.

    @bridge.qat.handler(MyLayer)
    def _(layer):
        return bridge.qat.Places(weights={"weight": 0}, inner=("matmul",))

    Args:
        layer_class: a torch module class or a Keras layer class.

    Returns:
        A decorator for a function that takes the layer and returns its Places.
    """

    def register(function: Handler) -> Handler:
        HANDLERS[layer_class] = function
        return function

    return register


def places(layer: Any) -> Places | None:
    """What the handler of its class, or of the nearest one that it inherits from, says; None where there is none."""
    function = next((HANDLERS[kind] for kind in type(layer).__mro__ if kind in HANDLERS), None)
    return None if function is None else function(layer)
