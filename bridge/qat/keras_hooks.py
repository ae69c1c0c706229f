"""Every layer and operation inside a Keras model, under a path, with something that stands between its callers and its `call`."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import keras

from bridge.qat.keras_operators import known

ACTIVATION = "/activation"  # of a layer that computes one, behind the path of the layer


class Watcher(Protocol):
    """What is asked in place of each call."""

    def __call__(self, path: str, operation: Any, call: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """The result of `call(*args, **options)`, or what shall stand for it."""


class Hooks:
    """Hands the calls of all layers and operations to a watcher, while there is one.

    A layer with an activation function of its own counts as two operations.

    Args:
        model: a built model; the `call` of its layers is replaced in place.
    """

    def __init__(self, model: Any) -> None:
        self.watcher: Watcher | None = None
        self.operations = dict(walk(model))
        for path, operation in self.operations.items():
            operation.call = functools.partial(self._called, path, operation, operation.call)

    def remove(self) -> None:
        """Gives the operations their own `call` back."""
        for operation in self.operations.values():
            del operation.call

    def _called(self, path: str, operation: Any, call: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if self.watcher is None:
            return call(*args, **options)
        activation = own_activation(operation)
        if activation is None:
            return self.watcher(path, operation, call, args, options)
        operation.activation = None
        try:
            result = self.watcher(path, operation, call, args, options)
        finally:
            operation.activation = activation
        return self.watcher(path + ACTIVATION, activation, activation, (result,), {})


def own_activation(operation: Any) -> Any:
    """The activation function that a layer with weights computes at its end; None without."""
    row = known(operation)
    activation = getattr(operation, "activation", None) if row is not None and row.weight else None
    return None if activation is keras.activations.linear else activation


def walk(model: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Path and object of all layers and operations inside; not the cells of recurrent layers, whose kernels are float."""
    seen: set[str] = set()
    for operation in dict.fromkeys([*getattr(model, "operations", ()), *model._layers]):
        name = operation.name
        while name in seen:  # layers that are attributes may be namesakes
            name += "'"
        seen.add(name)
        here = f"{path}/{name}" if path else name
        yield here, operation
        if isinstance(operation, keras.Layer) and not isinstance(operation, keras.layers.RNN | keras.layers.Bidirectional):
            yield from walk(operation, here)
