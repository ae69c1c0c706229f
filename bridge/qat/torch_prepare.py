"""A module with fake quantization where the rule files make integers of it."""

import contextlib
import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from bridge.errors import UsageError
from bridge.qat.handlers import places
from bridge.qat.scheme import Scheme
from bridge.qat.torch_batch_norm import BatchNorm
from bridge.qat.torch_convert import convert
from bridge.qat.torch_decisions import decide
from bridge.qat.torch_operators import operator_name
from bridge.qat.torch_placement import Layer, Placement
from bridge.qat.torch_quantizers import QUANTIZERS
from bridge.qat.torch_trace import trace

__all__ = ["convert", "freeze", "prepare"]


def prepare(module: Any, example_inputs: Any, *, rules: Sequence[str | Path], scheme: Scheme) -> Any:
    """A `torch.fx.GraphModule` whose parameters have the module's names."""
    if not isinstance(example_inputs, tuple):
        raise UsageError(f"Tracing a PyTorch module needs example inputs. Received: {type(example_inputs).__name__}.", hint="Give a tuple: (x,).")
    float_module = copy.deepcopy(module).eval()
    decisions = decide(float_module, example_inputs, rules)
    traced = trace(float_module, example_inputs)
    Placement(traced, decisions, scheme, tuple(_layers(float_module, traced))).run()
    with torch.no_grad(), _started(traced):
        traced.eval()(*example_inputs)
    return traced.train()


def freeze(module: Any, *, ranges: bool, batch_norm: bool) -> None:
    """In place; the state dict holds it."""
    kinds = (*QUANTIZERS,) * ranges + (BatchNorm,) * batch_norm
    for part in module.modules():
        if isinstance(part, kinds):
            part.freeze()


@contextlib.contextmanager
def _started(module: Any) -> Iterator[None]:
    """Every quantizer takes its first range from the first values that it sees."""
    hooks = [part.register_forward_pre_hook(lambda one, args: one.start(args[0])) for part in module.modules() if isinstance(part, QUANTIZERS)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _layers(module: Any, traced: Any) -> Iterator[Layer]:
    """The outermost layers with handlers."""
    found: list[str] = []
    for path, layer in module.named_modules():
        said = None if any(path == outer or path.startswith(f"{outer}.") for outer in found) else places(layer)
        if said is None:
            continue
        found.append(path)
        nodes = tuple(node for node in traced.graph.nodes if path in (place for place, _ in node.meta.get("nn_module_stack", {}).values()))
        names = sorted({operator_name(node) for node in nodes} - {""})
        if unknown := sorted(set(said.inner) - set(names)):
            raise UsageError(
                f"{path}: {type(layer).__name__} has no operator {unknown[0]!r}. Received: {said.inner}.", hint=f"It has {', '.join(names)}."
            )
        yield Layer(path, said, nodes)
