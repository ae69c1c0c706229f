"""The calls inside a Keras model as TensorFlow traces them: who reads whose tensors, and which TensorFlow operators each of them became."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from bridge.qat.keras_operators import INNER, MOVING, inner


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """One call.

    Attributes:
        key: path of the layer or operation, and the number of the call where it is not the first.
        operation: what was called; a row of the table for an operator in the code of a layer with a handler.
        inputs: the float tensors that it reads.
        outputs: the float tensors that it gives.
        operators: the TensorFlow operators that it became, name -> type.
    """

    key: str
    operation: Any
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    operators: Mapping[str, str]


class Counter:
    """Keys of the calls of one run."""

    def __init__(self) -> None:
        self._calls: dict[str, int] = {}

    def key(self, path: str) -> str:
        """The path, and behind the first call the number of the call."""
        count = self._calls[path] = self._calls.get(path, 0) + 1
        return path if count == 1 else f"{path}#{count}"


class Recorder:
    """Watches the first trace of a model; what runs in loops inside of it is left out."""

    def __init__(self) -> None:
        self._sites: list[tuple[int, Site]] = []
        self._graph: Any = None
        self._counter = Counter()

    def __call__(self, path: str, operation: Any, call: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Notes the call; see `Watcher`."""
        graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
        self._graph = self._graph or graph
        if graph is None or graph is not self._graph:
            return call(*args, **options)
        start, place, key = len(graph.get_operations()), len(self._sites), self._counter.key(path)
        result = call(*args, **options)
        operators = graph.get_operations()[start:]
        kinds = {operator.name: operator.type for operator in operators}
        site = Site(key, operation, tuple(float_tensors((args, options))), tuple(float_tensors(result)), kinds)
        within = {name for _, one in self._sites[place:] for name in one.operators}
        self._sites.insert(place, (start, site))
        wanted = inner(operation)
        for index, operator in enumerate(operators, start):
            name, row = INNER.get(operator.type, ("", None))
            if name in wanted and operator.name not in within:
                tensors = tuple(float_tensors(list(operator.inputs)))
                self._sites.append(
                    (index, Site(self._counter.key(f"{key}/{name}"), row, tensors, tuple(operator.outputs), {operator.name: operator.type}))
                )
        return result

    @property
    def sites(self) -> list[Site]:
        """In the order of their beginnings, each before those inside of it."""
        return [site for _, site in sorted(self._sites, key=lambda one: one[0])]


def float_tensors(values: Any) -> Iterator[Any]:
    """The float tensors among arguments or results; not the variables."""
    for one in keras.tree.flatten(values):
        if is_float_tensor(one):
            yield one


def is_float_tensor(value: Any) -> bool:
    """Whether it is an activation."""
    return isinstance(value, tf.Tensor) and value.dtype == tf.float32


def origin(tensor: Any) -> Any:
    """The tensor whose values these are, through operators that only move them."""
    while tensor.op.type in MOVING:
        tensor = tensor.op.inputs[0]
    return tensor
