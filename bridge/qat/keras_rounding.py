"""One call of a prepared Keras model: rounds what passes each place of the plan."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework import op_callbacks

from bridge.qat.handlers import places
from bridge.qat.keras_hooks import ACTIVATION, own_activation
from bridge.qat.keras_operators import INNER, inner, known
from bridge.qat.keras_plan import Plan, SitePlan
from bridge.qat.keras_quantizers import ActivationQuantizer, round_to, weight_scales
from bridge.qat.keras_sites import Counter, is_float_tensor


class Rounding:
    """Watches one run.

    Args:
        plan: what is rounded.
        quantizers: by the names that the plan uses.
        operations: the model's, by path.
        observing: whether ranges move.
    """

    def __init__(self, plan: Plan, quantizers: Mapping[str, ActivationQuantizer], operations: Mapping[str, Any], *, observing: bool) -> None:
        self.plan, self.quantizers, self.operations, self.observing = plan, quantizers, operations, observing
        self._counter = Counter()
        self._observed: set[str] = set()
        self._code_of: tuple[str, frozenset[str]] | None = None  # the layer with a handler whose own code runs, and what of it is rounded

    @contextlib.contextmanager
    def watching_operators(self) -> Iterator[None]:
        """Rounds the results of operators in the code of layers with handlers as well; works in graphs only.

        TensorFlow's own debugger stands on these callbacks; no public interface sees the operators of foreign code.
        """
        op_callbacks.add_op_callback(self._operator_made)
        try:
            yield
        finally:
            op_callbacks.remove_op_callback(self._operator_made)

    def __call__(self, path: str, operation: Any, call: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """The call with its roundings; see `Watcher`."""
        key = self._counter.key(path)
        around, self._code_of = self._code_of, None
        try:
            site = self.plan.sites.get(key)
            if site is None:
                return self._code(key, operation, call, args, options)
            if site.folded:
                result = args[0]
            else:
                args, options = self._rounded_inputs(site, (args, options))
                run = self._with_rounded_weights if site.weights else self._code
                result = run(key, operation, call, args, options)
            return result if site.output is None else self._round(site.output, result)
        finally:
            self._code_of = around

    def _code(self, key: str, operation: Any, call: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        self._code_of = (key, inner(operation))
        try:
            return call(*args, **options)
        finally:
            self._code_of = None

    def _operator_made(self, op_type: Any, _inputs: Any, _attributes: Any, outputs: Any, op_name: Any = None, graph: Any = None) -> Any:
        """Of TensorFlow: what stands for the outputs of an operator; None for themselves."""
        code, kind = self._code_of, op_type.decode() if isinstance(op_type, bytes) else op_type
        if code is None or graph is None or INNER.get(kind, ("",))[0] not in code[1]:
            return None
        key = self._counter.key(f"{code[0]}/{INNER[kind][0]}")
        site = self.plan.sites.get(key)
        if site is None or site.output is None:
            return None
        self._code_of = None
        try:
            return [self._round(site.output, outputs[0])]
        finally:
            self._code_of = code

    def weight(self, key: str, name: str) -> tuple[Any, Any]:
        """A weight of a call as it is rounded, and its scales, which broadcast to it."""
        site = self.plan.sites[key]
        operation = operation_of(self.operations, key)
        value = getattr(operation, name).value
        if site.normalization is not None:
            factor, _ = self._normalization(site)
            value = value * tf.reshape(factor, _along(value.shape, weight_channels(operation)))
        scales = weight_scales(value, site.weights[name], self.plan.scheme.weight_bits)
        return round_to(value, scales), scales

    def _with_rounded_weights(self, key: str, operation: Any, call: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        site = self.plan.sites[key]
        rounded = {name: self.weight(key, name) for name in site.weights}
        mapping = [(getattr(operation, name), weight) for name, (weight, _) in rounded.items()]
        has_bias = known(operation) is not None and operation.use_bias
        bias = operation.bias.value if has_bias else None
        if site.normalization is not None:
            factor, shift = self._normalization(site)
            bias = shift if bias is None else bias * factor + shift
        if bias is not None and site.reads is not None:
            step = self.quantizers[site.reads].scale() * tf.reshape(next(iter(rounded.values()))[1], [-1])
            bias = round_to(bias, step)
        if has_bias:
            mapping.append((operation.bias, bias))
        with keras.StatelessScope(mapping) as scope:
            result = self._code(key, operation, call, args, options)
        given = {id(variable) for variable, _ in mapping}
        for variable in [*operation.variables, *(one for quantizer in self.quantizers.values() for one in quantizer.variables)]:
            value = scope.get_current_value(variable)
            if value is not None and id(variable) not in given:
                variable.assign(value)  # what was assigned inside of the scope
        return result if has_bias or bias is None else tf.nn.bias_add(result, bias)

    def _normalization(self, site: SitePlan) -> tuple[Any, Any]:
        """Factor and addend [channels] of the BatchNormalization that a weight takes in, with its moving statistics as they are."""
        layer = operation_of(self.operations, str(site.normalization))
        factor = tf.math.rsqrt(layer.moving_variance.value + layer.epsilon)
        factor = factor if layer.gamma is None else factor * layer.gamma.value
        shift = -layer.moving_mean.value * factor
        return factor, shift if layer.beta is None else shift + layer.beta.value

    def _rounded_inputs(self, site: SitePlan, given: tuple[tuple[Any, ...], dict[str, Any]]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        names = iter(site.inputs)
        flat = [self._round(next(names, None), one) if is_float_tensor(one) else one for one in keras.tree.flatten(given)]
        args, options = keras.tree.pack_sequence_as(given, flat)
        return args, options

    def _round(self, name: str | None, values: Any) -> Any:
        if name is None:
            return values
        quantizer = self.quantizers[name]
        if self.observing and name not in self._observed:
            self._observed.add(name)
            quantizer.observe(values)
        return quantizer.rounded(values)


def operation_of(operations: Mapping[str, Any], key: str) -> Any:
    """The layer, operation or activation function of a call, what its handler says for an operator in the code of a layer; None where there is none."""
    path = key.partition("#")[0]
    if path in operations:
        return operations[path]
    layer = operations.get(path.rpartition("/")[0])
    if layer is None:
        return None
    return own_activation(layer) if path.endswith(ACTIVATION) else places(layer)


def weight_channels(operation: Any) -> tuple[int, ...]:
    """Axes of its weight that are the output channels; the last one for a layer of the user's."""
    row = known(operation)
    return (-1,) if row is None else row.channels


def _along(shape: Any, axes: tuple[int, ...]) -> list[int]:
    """Shape of one value per channel that broadcasts to `shape`."""
    kept = {axis % len(shape) for axis in axes}
    return [int(size) if axis in kept else 1 for axis, size in enumerate(shape)]
