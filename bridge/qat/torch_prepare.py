"""A module with fake quantization where the rule files make integers of it, and that module as int8 TFLite."""

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from bridge import pipeline
from bridge import rules as rules_stage
from bridge.conversion_result import ConversionResult
from bridge.errors import UsageError
from bridge.qat.scheme import PRECISION, Scheme
from bridge.qat.torch_operators import MOVING, OPERATORS
from bridge.qat.torch_quantizers import ActivationQuantizer, WeightQuantizer
from bridge.quantize.op_table import OPS
from bridge.sources import open_model


def prepare(module: Any, example_inputs: Any, *, rules: Sequence[str | Path], scheme: Scheme) -> Any:
    """BatchNorm behind a convolution is folded into it, with the running statistics as they are; its weight and bias are trained on. Parameters
    keep their names. Dropout is off.
    """
    float_module = copy.deepcopy(module).eval()
    opened = open_model(float_module, input_shapes={}, example_inputs=example_inputs)
    decisions = rules_stage.apply(rules_stage.load(rules), opened.graph.nodes, default_precision=PRECISION).decisions
    precisions = {spec.name: decisions[node.name].precision for node in opened.graph.nodes for spec in node.outputs}
    graph = torch.export.export(float_module, example_inputs, strict=False).module()
    traced = torch.fx.GraphModule(graph, graph.graph)
    inserter = _Inserter(traced, precisions, lambda: WeightQuantizer(per_channel=scheme.per_channel, bits=scheme.weight_bits))
    inserter.run()
    traced.train()
    with torch.no_grad():
        traced(*example_inputs)
    return traced


def freeze(module: Any) -> None:
    """Keeps the ranges of activations as they are from now on."""
    for part in module.modules():
        if isinstance(part, ActivationQuantizer):
            part.observing = False


def convert(module: Any, example_inputs: tuple[Any, ...], **options: Any) -> ConversionResult:
    """With constants in place of what computes weights and scales."""
    fixed = copy.deepcopy(module).eval()
    with torch.no_grad():
        values = _Recorder(fixed)
        values.run(*example_inputs)
    _fix(fixed, values.recorded)
    return pipeline.convert(fixed, example_inputs=example_inputs, **options)


def _operator(node: Any) -> str:
    return "" if node.op != "call_function" or not hasattr(node.target, "overloadpacket") else node.target.overloadpacket.__name__


def _folded(weight: Any, bias: Any, gamma: Any, beta: Any, mean: Any, variance: Any, epsilon: float) -> tuple[Any, Any]:
    """Weight and bias of a convolution that computes the BatchNorm behind it as well."""
    factor = gamma * torch.rsqrt(variance + epsilon)
    bias = beta - mean * factor if bias is None else beta + (bias - mean) * factor
    return weight * factor.reshape(-1, *[1] * (weight.dim() - 1)), bias


def _first(pair: tuple[Any, Any]) -> Any:
    return pair[0]


def _second(pair: tuple[Any, Any]) -> Any:
    return pair[1]


class _Inserter:
    def __init__(self, module: Any, precisions: Mapping[str, str], weight_quantizer: Callable[[], Any]) -> None:
        self.module, self.graph = module, module.graph
        self.precisions, self.weight_quantizer = precisions, weight_quantizer
        self.count = 0

    def run(self) -> None:
        self._fold_all()
        integer = [node for node in self.graph.nodes if self._is_integer(node)]
        if not integer:
            raise UsageError("No operator of the module becomes an integer one.", hint="Look at the rules: they may leave everything float.")
        edges: dict[Any, list[Any]] = {}
        for node in integer:
            for value in dict.fromkeys(self._data(node)):
                if not self._from_integer(value, set(integer)):
                    edges.setdefault(value, []).append(node)
        for node in integer:
            self._quantize_weight_and_output(node, integer)
        for value, users in edges.items():
            self._quantize(value, users, ActivationQuantizer())
        self.graph.eliminate_dead_code()
        self.graph.lint()
        self.module.recompile()

    def _fold_all(self) -> None:
        for node in list(self.graph.nodes):
            if node.op == "call_module" and str(node.target).endswith("_guards_fn"):
                self.graph.erase_node(node)  # would refuse other batch sizes
            elif _operator(node) == "batch_norm" and self._foldable(node):
                self._fold(node)

    def _quantize_weight_and_output(self, node: Any, integer: Sequence[Any]) -> None:
        operator = OPERATORS[_operator(node)]
        if operator.weight is not None:
            self._quantize(node.args[operator.weight], [node], self.weight_quantizer())
        fixed = OPS[operator.tflite].kernels[PRECISION].fixed_output
        if not self._is_fused(node, integer):
            self._quantize(node, list(node.users), ActivationQuantizer(None if fixed is None else (fixed.scale, fixed.zero_point)))

    def _foldable(self, node: Any) -> bool:
        conv = node.args[0]
        return _operator(conv) in ("conv1d", "conv2d") and len(conv.users) == 1 and all(one is not None for one in node.args[1:5])

    def _fold(self, node: Any) -> None:
        conv = node.args[0]
        bias = conv.args[2] if len(conv.args) > 2 else None
        with self.graph.inserting_before(conv):
            both = self.graph.call_function(_folded, (conv.args[1], bias, *node.args[1:5], node.args[7]))
            parts = [self.graph.call_function(one, (both,)) for one in (_first, _second)]
        conv.args = (conv.args[0], *parts, *conv.args[3:])
        node.replace_all_uses_with(conv)
        conv.meta["folded"] = True
        self.graph.erase_node(node)

    def _is_integer(self, node: Any) -> bool:
        operator = OPERATORS.get(_operator(node))
        if operator is None or PRECISION not in OPS[operator.tflite].kernels or OPS[operator.tflite].kernels[PRECISION].symmetric:
            return False
        if any(not isinstance(node.args[position], torch.fx.Node) or node.args[position].op == "get_attr" for position in operator.data):
            return False
        default = PRECISION if node.meta.get("folded") else "float32"  # ONNX has another name for the output of a folded BatchNorm
        return self.precisions.get(node.name, default) == PRECISION

    def _data(self, node: Any) -> list[Any]:
        return [node.args[position] for position in OPERATORS[_operator(node)].data]

    def _from_integer(self, value: Any, integer: set[Any]) -> bool:
        while _operator(value) in MOVING:
            value = value.args[0]
        return value in integer

    def _is_fused(self, node: Any, integer: Sequence[Any]) -> bool:
        users = list(node.users)
        return len(users) == 1 and _operator(users[0]) == "relu" and users[0] in integer

    def _quantize(self, value: Any, users: Sequence[Any], quantizer: Any) -> None:
        name = f"fake_quantize_{self.count}"
        self.count += 1
        self.module.add_submodule(name, quantizer)
        place = value if value.op != "placeholder" else [node for node in self.graph.nodes if node.op == "placeholder"][-1]
        with self.graph.inserting_after(place):
            rounded = self.graph.call_module(name, (value,))
        for user in users:
            user.replace_input_with(value, rounded)


class _Recorder(torch.fx.Interpreter):  # type: ignore[misc]  # torch has no types here
    """Keeps what does not depend on the inputs: folded weights and biases."""

    def __init__(self, module: Any) -> None:
        super().__init__(module)
        self.recorded: dict[Any, Any] = {}

    def run_node(self, n: Any) -> Any:
        result = super().run_node(n)
        if n.target in (_first, _second) or (n.op == "call_module" and isinstance(self.module.get_submodule(n.target), WeightQuantizer)):
            self.recorded[n] = result
        return result


def _fix(module: Any, recorded: Mapping[Any, Any]) -> None:
    """Constants in place of what computes weights and scales."""
    graph = module.graph
    aten = torch.ops.aten

    def constant(name: str, value: Any) -> Any:
        module.register_buffer(name, value.detach().clone())
        return graph.get_attr(name)

    for index, node in enumerate(list(graph.nodes)):
        part = module.get_submodule(node.target) if node.op == "call_module" else None
        with graph.inserting_before(node):
            args: tuple[Any, ...]
            if isinstance(part, ActivationQuantizer):
                args = (node.args[0], float(part.scale), int(part.zero_point), -128, 127)
                new = graph.call_function(aten.fake_quantize_per_tensor_affine.default, args)
            elif isinstance(part, WeightQuantizer):
                weight = recorded[node]
                scales = part.scales(recorded.get(node.args[0], weight))
                points = constant(f"points_{index}", torch.zeros_like(scales, dtype=torch.int32))
                args = (constant(f"weight_{index}", weight), constant(f"scales_{index}", scales), points, 0, -128, 127)
                new = graph.call_function(aten.fake_quantize_per_channel_affine.default, args)
            elif node in recorded and node.target is _second:
                new = constant(f"bias_{index}", recorded[node])
            else:
                continue
        node.replace_all_uses_with(new)
    graph.eliminate_dead_code()
    module.recompile()
