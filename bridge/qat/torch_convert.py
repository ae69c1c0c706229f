"""A trained module as int8 TFLite: with constants in place of what computes weights, biases and scales."""

import copy
from collections.abc import Mapping
from typing import Any

import torch

from bridge import pipeline
from bridge.conversion_result import ConversionResult
from bridge.errors import UsageError
from bridge.frontends.torch_export import unwrapped
from bridge.qat.torch_batch_norm import BIAS, FoldedBatchNorm
from bridge.qat.torch_quantizers import HIGH, LOW, ActivationQuantizer, WeightQuantizer


def convert(module: Any, example_inputs: Any, **options: Any) -> ConversionResult:
    """`bridge.convert` of what `prepare` made."""
    fixed = copy.deepcopy(unwrapped(module)).eval()
    if not isinstance(fixed, torch.fx.GraphModule) or not any(isinstance(part, ActivationQuantizer) for part in fixed.modules()):
        raise UsageError(
            f"bridge.qat.convert takes what bridge.qat.prepare made. Received: {type(fixed).__name__}.", hint="bridge.convert takes any module."
        )
    with torch.no_grad():
        values = _Recorder(fixed)
        values.run(*example_inputs)
        _fix(fixed, values.recorded)
    return pipeline.convert(fixed, example_inputs=example_inputs, **options)


class _Recorder(torch.fx.Interpreter):  # type: ignore[misc]  # torch has no types here
    """Keeps what does not depend on the inputs: all that is computed from parameters."""

    def __init__(self, module: Any) -> None:
        super().__init__(module)
        self.recorded: dict[Any, Any] = {}

    def run_node(self, n: Any) -> Any:
        result = super().run_node(n)
        if n.op != "placeholder" and isinstance(result, torch.Tensor) and all(one in self.recorded for one in n.all_input_nodes):
            self.recorded[n] = result
        return result


def _fix(module: Any, recorded: Mapping[Any, Any]) -> None:
    graph, aten = module.graph, torch.ops.aten

    def constant(name: str, value: Any) -> Any:
        module.register_buffer(name, value.detach().clone())
        return graph.get_attr(name)

    for index, node in enumerate(list(graph.nodes)):
        part = module.get_submodule(node.target) if node.op == "call_module" else None
        with graph.inserting_before(node):
            if isinstance(part, ActivationQuantizer):
                new = graph.call_function(aten.fake_quantize_per_tensor_affine.default, (node.args[0], *part.form(), LOW, HIGH))
            elif isinstance(part, WeightQuantizer):
                weight, axis = recorded[node], part.axis or 0
                scales = part.scales(recorded[node.args[0]]).expand(weight.shape[axis]).contiguous()
                points = constant(f"points_{index}", torch.zeros_like(scales, dtype=torch.int32))
                args = (constant(f"weight_{index}", weight), constant(f"scales_{index}", scales), points, axis % weight.dim(), LOW, HIGH)
                new = graph.call_function(aten.fake_quantize_per_channel_affine.default, args)
            elif isinstance(part, FoldedBatchNorm):
                conv, factor, bias, _, beta, mean = node.args[:6]
                values = [None if one is None else recorded[one] for one in (factor, bias, beta, mean)]
                with graph.inserting_before(conv):
                    conv.update_arg(BIAS, constant(f"bias_{index}", part.folded_bias(*values)))
                new = conv
            else:
                continue
        node.replace_all_uses_with(new)
    graph.eliminate_dead_code()
    module.recompile()
