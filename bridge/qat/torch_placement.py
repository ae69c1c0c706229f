"""Where a traced module rounds: around the operators that become integer ones, and where handlers say so."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch

from bridge.errors import UsageError
from bridge.qat.handlers import Places
from bridge.qat.scheme import PRECISION, Scheme
from bridge.qat.torch_batch_norm import FoldedBatchNorm, scaled
from bridge.qat.torch_decisions import Decisions
from bridge.qat.torch_kept_float import KeptFloat
from bridge.qat.torch_operators import ACTIVATIONS, MOVING, TAKING_IN, Operator, operator_name, operator_of
from bridge.qat.torch_quantizers import ActivationQuantizer, LearnedActivationQuantizer, LearnedWeightQuantizer, WeightQuantizer
from bridge.quantize.clusters import is_clustered
from bridge.quantize.op_table import OPS, Kernel


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A layer that has a handler.

    Attributes:
        path: of the layer in the module.
        places: what the handler says.
        nodes: its operators.
    """

    path: str
    places: Places
    nodes: tuple[Any, ...]


@dataclass(slots=True, eq=False)
class Placement:
    """Puts quantizers into a traced module.

    Attributes:
        module: changed in place.
        decisions: of the rules.
        scheme: of all quantizers.
        layers: those with handlers.
        integer: the operators that become integer ones, in the order of the graph.
        rounded: value -> its rounded one.
    """

    module: Any
    decisions: Decisions
    scheme: Scheme
    layers: Sequence[Layer] = ()
    integer: Mapping[Any, None] = MappingProxyType({})
    rounded: dict[Any, Any] = field(default_factory=dict)

    def run(self) -> None:
        """Raises UsageError where nothing becomes integer."""
        layers = [layer for layer in self.layers if any(self.decisions.is_integer(node) for node in layer.nodes)]
        handled = {node: layer for layer in self.layers for node in layer.nodes}
        self.integer = {node: None for node in self.module.graph.nodes if self._is_integer(node, handled.get(node))}
        if not self.integer and not layers:
            raise UsageError("No operator of the module becomes an integer one.", hint="Look at the rules: they may leave everything float.")
        symmetric = self._symmetric_sources()
        for layer in layers:
            self._round_weights(layer)
        outside = [(value, user) for layer in layers for value, user in _read_from_outside(layer)]
        results = {self._result(node): node for node in self._starts()} | {value: None for layer in layers for value in self._written(layer)}
        inner = {value for node in self.integer for value in self._computed(node)} - set(results)
        for value, node in results.items():
            kernel = None if node is None else _kernel(node)
            fixed = None if kernel is None or kernel.fixed_output is None else kernel.fixed_output
            form = None if fixed is None else (fixed.scale, fixed.zero_point)
            self._round(value, list(value.users), self._activation_quantizer(symmetric=value in symmetric, fixed=form))
        reads = [(value, node) for node in self.integer for value in _data(node)] + outside
        for value in dict.fromkeys(value for value, _ in reads):
            if source(value) not in self.rounded.values() and value not in inner:
                users = [user for one, user in reads if one is value]
                self._round(value, users, self._activation_quantizer(symmetric=value in symmetric))
        for node in self.integer:
            self._round_constants(node)
        self._keep_float()
        self.module.graph.eliminate_dead_code()
        self.module.graph.lint()
        self.module.recompile()

    def _is_integer(self, node: Any, layer: Layer | None) -> bool:
        operator = operator_of(node)
        if operator is None or PRECISION not in OPS[operator.tflite].kernels or (layer is not None and operator_name(node) not in layer.places.inner):
            return False
        value = node.meta.get("val")
        operands = _data(node)
        if not operands or (value is not None and not value.is_floating_point()):
            return False
        second = [source(node.args[position]) for position in OPS[operator.tflite].kernels[PRECISION].symmetric]
        if any(operator_of(one) is not None and _kernel(one).fixed_output is not None for one in second):
            return False  # its zero point is another one
        return self.decisions.is_integer(node)

    def _symmetric_sources(self) -> set[Any]:
        """Values whose zero point has to be 0: where they are rounded, or where an operator reads them."""
        found: set[Any] = set()
        for node in self.integer:
            for position in () if _operator(node).weight is not None else _kernel(node).symmetric:
                found |= {node.args[position], source(node.args[position])}
        return found

    def _starts(self) -> list[Any]:
        """The integer operators without those that another one takes in."""
        taken = {value for node in self.integer for value in list(self._computed(node))[1:]}
        return [node for node in self.integer if node not in taken]

    def _result(self, node: Any) -> Any:
        """What its kernel writes."""
        return list(self._computed(node))[-1]

    def _computed(self, node: Any) -> Iterable[Any]:
        """What one kernel computes: an operator, the BatchNorm behind it and the activation that it takes in."""
        yield node
        while len(node.users) == 1:
            user = next(iter(node.users))
            folded = user.op == "call_module" and isinstance(self.module.get_submodule(user.target), FoldedBatchNorm)
            taken = operator_name(user) in ACTIVATIONS and user in self.integer and (node.op == "call_module" or operator_name(node) in TAKING_IN)
            if not folded and not taken:
                break
            node = user
            yield node

    def _written(self, layer: Layer) -> Iterable[Any]:
        """What leaves a layer, and what its handler names inside of it."""
        inside = set(layer.nodes)
        for node in layer.nodes:
            if operator_name(node) in layer.places.inner and node not in self.integer:
                yield node
            if layer.places.output and any(user not in inside for user in node.users) and source(node) not in map(self._result, self.integer):
                yield node

    def _round_weights(self, layer: Layer) -> None:
        for name, axis in layer.places.weights.items():
            found = [node for node in self.module.graph.nodes if node.op == "get_attr" and node.target == f"{layer.path}.{name}".lstrip(".")]
            users = [user for node in found for user in node.users if user in set(layer.nodes)]
            if not users:
                raise UsageError(
                    f"{layer.path}: the layer's operators read no parameter of that name. Received: {name!r}.", hint="Look at its handler."
                )
            self._round(found[0], users, self._weight_quantizer(found[0], axis), name=f"{found[0].name}_weight")

    def _round_constants(self, node: Any) -> None:
        operator = _operator(node)
        if operator.weight is not None and not self._is_rounded(node.args[operator.weight]):
            weight = node.args[operator.weight]
            self._round(weight, [node], self._weight_quantizer(weight, operator.axis), name=f"{node.name}_weight")
        for position in operator.data:
            value = node.args[position]
            if getattr(value, "op", "") == "get_attr":
                self._round(value, [node], self._activation_quantizer(symmetric=False), name=f"{node.name}_{value.name}")

    def _keep_float(self) -> None:
        """Marks what reads rounded values only and is float all the same: between Q and DQ it would be taken for an integer operator."""
        rounded, activations = set(self.rounded.values()), set[Any]()
        for node in list(self.module.graph.nodes):
            read = [value for value in node.all_input_nodes if value in activations]
            if read or node.op == "placeholder":
                activations.add(node)
            plain = node.op == "call_function" and node not in self.integer and operator_name(node) not in MOVING | {""}
            if plain and read and all(source(value) in rounded for value in read):
                target = f"qat.floats.{node.name}"
                self.module.add_submodule(target, KeptFloat(node.target))
                with self.module.graph.inserting_before(node):
                    kept = self.module.graph.call_module(target, node.args, node.kwargs)
                activations.add(kept)
                node.replace_all_uses_with(kept)
                self.module.graph.erase_node(node)

    def _is_rounded(self, value: Any) -> bool:
        return value.op == "call_module" and isinstance(self.module.get_submodule(value.target), WeightQuantizer)

    def _activation_quantizer(self, *, symmetric: bool, fixed: tuple[float, int] | None = None) -> Any:
        kind = LearnedActivationQuantizer if self.scheme.ranges == "learned" else ActivationQuantizer
        return kind(fixed=fixed, symmetric=symmetric or self.scheme.symmetric)

    def _weight_quantizer(self, weight: Any, axis: int | None) -> Any:
        folded = weight.target is scaled  # BatchNorm makes other values of a cluster in each channel, which scales per channel undo
        value = _parameter(self.module, weight.args[0] if folded else weight)
        kind = LearnedWeightQuantizer if self.scheme.ranges == "learned" else WeightQuantizer
        if not self.scheme.per_channel or (not folded and is_clustered(value.detach().float().cpu().numpy(), self.scheme.most)):
            axis = None
        return kind(most=self.scheme.most, axis=axis, channels=1 if axis is None else value.shape[axis])

    def _round(self, value: Any, users: Sequence[Any], quantizer: Any, *, name: str = "") -> None:
        target = f"qat.quantizers.{name or value.name}"
        self.module.add_submodule(target, quantizer)
        place = value if value.op != "placeholder" else [node for node in self.module.graph.nodes if node.op == "placeholder"][-1]
        with self.module.graph.inserting_after(place):
            rounded = self.module.graph.call_module(target, (value,))
        for user in users:
            user.replace_input_with(value, rounded)
        self.rounded[value] = rounded


def source(value: Any) -> Any:
    """Where the values come from that operators only move."""
    while operator_name(value) in MOVING or (getattr(value, "op", "") == "call_module" and value.meta.get("moves", False)):
        value = value.args[0]
    return value


def _parameter(module: Any, node: Any) -> Any:
    """The parameter or buffer that a node reads."""
    found = module
    for part in str(node.target).split("."):
        found = getattr(found, part)
    return found


def _kernel(node: Any) -> Kernel:
    return OPS[_operator(node).tflite].kernels[PRECISION]


def _operator(node: Any) -> Operator:
    """The row of an integer operator."""
    found = operator_of(node)
    if found is None:
        raise KeyError(node.name)
    return found


def _data(node: Any) -> list[Any]:
    """The activations that an operator reads."""
    operator = operator_of(node)
    positions = () if operator is None else operator.data
    return [node.args[position] for position in positions if isinstance(node.args[position], torch.fx.Node) and node.args[position].op != "get_attr"]


def _read_from_outside(layer: Layer) -> Iterable[tuple[Any, Any]]:
    inside = set(layer.nodes)
    for node in layer.nodes if layer.places.inputs else ():
        for value in node.all_input_nodes:
            shown = value.meta.get("val")
            if value not in inside and value.op != "get_attr" and isinstance(shown, torch.Tensor) and shown.is_floating_point():
                yield value, node
