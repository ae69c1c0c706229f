"""The Keras model that is trained with its rounding: the user's model inside, and what rounds at its places."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bridge.errors import UsageError
from bridge.frontends.known_weights import KnownWeight
from bridge.qat.keras_hooks import Hooks
from bridge.qat.keras_operators import inner
from bridge.qat.keras_plan import Plan
from bridge.qat.keras_quantizers import ActivationQuantizer, as_matrix
from bridge.qat.keras_rounding import Rounding, operation_of, weight_channels


@keras.saving.register_keras_serializable("bridge")
class QuantizedModel(keras.Model):  # type: ignore[misc]  # Keras has no types here
    """Computes what `model` does, rounded as its int8 file will; made by `bridge.qat.prepare`.

    Args:
        model: a float model, which becomes a part of this one: its layers, weights and names stay.
        plan: what is rounded, as `Plan.config` gives it.

    Raises:
        UsageError: the plan speaks of layers that the model does not have.
    """

    def __init__(self, model: Any, plan: Mapping[str, Any], **options: Any) -> None:
        super().__init__(**{"name": model.name} | options)
        self.supports_jit = False
        self.model = model
        self._plan = Plan.of(plan)
        if not model.built:
            model(self.example_inputs)
        learned = self._plan.scheme.ranges == "learned"
        self.quantizers = [
            ActivationQuantizer(one.fixed, one.symmetric, learned, name=f"rounding_{place}")
            for place, one in enumerate(self._plan.quantizers.values())
        ]
        self._hooks = Hooks(model)
        self._in_graph = tf.function(self._run, reduce_retracing=True)
        missing = [key for key in self._plan.sites if operation_of(self._hooks.operations, key) is None]
        if missing:
            raise UsageError(
                f"{model.name}: it was prepared with a layer that is not in it, or that has no handler now: {missing[0]!r}.",
                hint="Register the handlers of your layers (bridge.qat.handler) before the model is loaded.",
            )
        self.built = True

    def call(self, inputs: Any, training: Any = None) -> Any:
        """The model's outputs."""
        return self._run(inputs, training=bool(training), observing=bool(training))

    def observe(self, inputs: Any) -> None:
        """Lets the ranges see what passes in inference."""
        self._run(inputs, training=False, observing=True)

    def freeze(self) -> None:
        """Keeps the ranges of activations as they are from now on."""
        for one in self.quantizers:
            one.freeze()

    def known_weights(self) -> list[KnownWeight]:
        """The rounded weights with their scales."""
        rounding = self._rounding(observing=False)
        found = []
        for key, site in self._plan.sites.items():
            for name in site.weights:
                rounded, scales = rounding.weight(key, name)
                channels = weight_channels(operation_of(self._hooks.operations, key))
                matrix = as_matrix(rounded, channels)
                found.append(KnownWeight(matrix, np.broadcast_to(as_matrix(scales, channels), (1, matrix.shape[1]))[0].copy()))
        return found

    @property
    def inputs(self) -> Any:
        """Symbolic inputs of the model, None where it does not know its own."""
        return getattr(self.model, "inputs", None)

    @property
    def _inputs_struct(self) -> Any:
        return getattr(self.model, "_inputs_struct", None)

    @property
    def example_inputs(self) -> Any:
        """Zeros of the sizes that it was prepared with, the leading one 1."""
        return keras.tree.map_structure(lambda text: np.zeros(*read_spec(text)), self._plan.inputs_like)

    def get_config(self) -> dict[str, Any]:
        """Of Keras."""
        return {"name": self.name, "model": keras.saving.serialize_keras_object(self.model), "plan": self._plan.config()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> "QuantizedModel":
        """Of Keras."""
        model = keras.saving.deserialize_keras_object(config["model"], custom_objects=custom_objects)
        return cls(model, config["plan"], name=config["name"])

    def _rounding(self, *, observing: bool) -> Rounding:
        quantizers = dict(zip(self._plan.quantizers, self.quantizers, strict=True))
        return Rounding(self._plan, quantizers, self._hooks.operations, observing=observing)

    def _run(self, inputs: Any, *, training: bool, observing: bool) -> Any:
        if tf.executing_eagerly() and any(inner(one) for one in self._hooks.operations.values()):
            return self._in_graph(inputs, training=training, observing=observing)
        rounding = self._rounding(observing=observing)
        self._hooks.watcher = rounding
        try:
            with rounding.watching_operators():
                return self.model.call(inputs, **({"training": training} if self.model._call_has_training_arg else {}))
        finally:
            self._hooks.watcher = None


def spec_of(value: Any) -> str:
    """`float32 1 28 28`: type and sizes of an input, the leading one 1."""
    array = np.asarray(value)
    return " ".join(map(str, (array.dtype.name, 1, *array.shape[1:])))


def read_spec(text: str) -> tuple[tuple[int, ...], str]:
    """Shape and type."""
    kind, *sizes = text.split()
    return tuple(map(int, sizes)), kind
